"""No pair of operands is in two splits, sizes are exact, and nothing depends on the order of draws."""

import numpy as np
import pytest

from tinygrad_arith.backend import RandomKey
from tinygrad_arith.tasks import Problems, build_task, task_options
from tinygrad_arith.tasks.arithmetic.digits import from_integers, random_digits, significant_lengths, to_integers
from tinygrad_arith.tasks.splits import (
    PARTS,
    LengthSplit,
    TrainingList,
    TrainingSplit,
    all_pairs,
    beyond,
    hash_pairs,
    mix,
)

SIZES = {"validation": 23, "test": 71}


def as_set(problems, base=2):
    return set(zip(to_integers(problems.first, base), to_integers(problems.second, base), strict=True))


def uniform_pairs(key, count, width=20):
    both = random_digits(key, 2 * count, width, 2)
    return Problems(both[:count], both[count:])


def listed_split(width, base, sizes, seed, by_length=False, most=0):
    return TrainingSplit(
        uniform_pairs, sizes | {"train": most}, seed, all_pairs(width, base, width), base if by_length else None
    )


def hashed_split(draw, sizes, seed, most=0):
    return TrainingSplit(draw, sizes | {"train": most}, seed)


@pytest.mark.parametrize("by_length", [False, True])
@pytest.mark.parametrize(("width", "base"), [(4, 2), (2, 10)])
def test_listed_splits_have_exact_sizes_and_make_up_all_pairs(width, base, by_length):
    split = listed_split(width, base, SIZES, seed=5, by_length=by_length)
    test, validation = as_set(split.problems("test"), base), as_set(split.problems("validation"), base)
    train = as_set(split.listed.pairs, base)
    assert (len(test), len(validation)) == (71, 23)
    assert len(train) == len(split.listed.pairs) == base ** (2 * width) - 94
    assert len(test | validation | train) == base ** (2 * width)
    assert as_set(split.train(RandomKey(1, "train"), 4000), base) <= train


def test_a_listed_training_draw_reaches_every_training_pair_equally_often():
    split = listed_split(4, 2, SIZES, seed=0, by_length=False)
    drawn = split.train(RandomKey(2, "train"), 100 * len(split.listed.pairs))
    names, counts = np.unique(np.concatenate([drawn.first, drawn.second], axis=1), axis=0, return_counts=True)
    assert len(names) == len(split.listed.pairs)
    assert counts.min() > 50
    assert counts.max() < 160


def test_a_listed_draw_by_length_has_the_shares_of_lengths_that_rejection_would_give():
    split = listed_split(4, 2, {"validation": 4, "test": 4}, seed=0, by_length=True)
    drawn = split.train(RandomKey(2, "train"), 40_000)
    shares = np.bincount(significant_lengths(drawn.first), minlength=5)[1:] / 40_000
    assert np.abs(shares - 0.25).max() < 0.06  # 8 held-out pairs of 256 move the shares a little


@pytest.mark.parametrize("seed", [0, 2**63])
def test_hashed_splits_are_disjoint_distinct_and_of_the_asked_size(seed):
    split = hashed_split(uniform_pairs, SIZES, seed)
    test, validation = split.problems("test"), split.problems("validation")
    assert (len(as_set(test)), len(as_set(validation))) == (len(test), len(validation)) == (71, 23)
    train = as_set(split.train(RandomKey(1, "train"), 3000))
    assert not as_set(test) & as_set(validation)
    assert not train & (as_set(test) | as_set(validation))
    assert split.members(test, "test").all()


def test_the_hash_gives_each_held_out_split_a_sixteenth():
    split = hashed_split(uniform_pairs, SIZES, seed=9)
    problems = uniform_pairs(RandomKey(0, "any"), 200_000)
    shares = {name: split.members(problems, name).mean() for name in ("train", "validation", "test")}
    assert abs(sum(shares.values()) - 1) < 1e-12
    assert abs(shares["test"] - 1 / 16) < 0.002
    assert abs(shares["validation"] - 1 / 16) < 0.002


def test_a_larger_hashed_split_begins_with_a_smaller_one():
    small, large = (hashed_split(uniform_pairs, {"test": size}, seed=1).problems("test") for size in (50, 9000))
    np.testing.assert_array_equal(small.first, large.first[:50])
    np.testing.assert_array_equal(small.second, large.second[:50])


def test_a_hash_depends_on_every_digit_of_both_operands_and_on_their_order_and_on_the_seed():
    width = 19
    base = uniform_pairs(RandomKey(7, "any"), 1, width)
    hashes = {int(hash_pairs(base, 0)[0]), int(hash_pairs(base, 1)[0])}
    hashes.add(int(hash_pairs(Problems(base.second, base.first), 0)[0]))
    for place in range(width):
        flip = np.eye(width, dtype=np.uint8)[place : place + 1]
        hashes.add(int(hash_pairs(Problems(base.first ^ flip, base.second), 0)[0]))
        hashes.add(int(hash_pairs(Problems(base.first, base.second ^ flip), 0)[0]))
    assert len(hashes) == 3 + 2 * width


def test_mix_is_that_of_splitmix64():
    """The first numbers of SplitMix64 seeded with 0, which mixes the multiples of its golden ratio."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    mixed = mix(np.arange(1, 4, dtype=np.uint64) * golden)
    assert mixed.tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_the_hash_stays_what_it_is():
    """Published splits must not move: these values were written down once."""
    problems = Problems(from_integers([13, 2**40 + 5], 41, 2), from_integers([6, 9], 41, 2))
    assert hash_pairs(problems, 3).tolist() == [2969606352572475145, 16988160861844287140]


@pytest.mark.parametrize("bits", [8, 11])
def test_held_out_problems_depend_on_the_split_seed_alone(bits):
    def held_out(split_seed, train_first):
        task = build_task(task_options(digits=bits, split_seed=split_seed, test_size=500))
        if train_first:
            task.train_batch(3, 50, seed=8)
        return as_set(task.problems("test", 500))

    assert held_out(0, True) == held_out(0, False)
    assert held_out(0, False) != held_out(1, False)


@pytest.mark.parametrize("by_length", [False, True])
def test_a_listed_split_knows_the_members_of_each_part_by_their_hashes(by_length):
    split = listed_split(4, 2, SIZES, seed=5, by_length=by_length)
    pairs = all_pairs(4, 2, 4)
    ranks = np.argsort(np.argsort(hash_pairs(pairs, 5)))
    for name, begin, end in zip(PARTS, (0, 71, 71 + 23), (71, 71 + 23, 256), strict=True):
        np.testing.assert_array_equal(split.members(pairs, name), (ranks >= begin) & (ranks < end))


def test_a_split_without_validation_gives_its_problems_to_training():
    split = listed_split(4, 2, {"validation": 0, "test": 71}, seed=5, by_length=False)
    assert (len(split.listed.pairs), len(split.problems("validation"))) == (256 - 71, 0)
    assert not split.members(split.pairs, "validation").any()
    assert split.members(split.pairs, "train").sum() == 256 - 71


def test_a_smaller_training_set_is_the_beginning_of_a_larger_one():
    small, large = (listed_split(4, 2, SIZES, 5, False, most).listed.pairs for most in (20, 90))
    np.testing.assert_array_equal(small.first, large.first[:20])
    splits = [hashed_split(uniform_pairs, SIZES, 1, most) for most in (40, 7000)]
    small, large = (split.listed.pairs for split in splits)
    assert [len(split.listed.pairs) for split in splits] == [len(as_set(small)), len(as_set(large))] == [40, 7000]
    np.testing.assert_array_equal(small.second, large.second[:40])
    assert splits[0].members(small, "train").all()
    assert as_set(splits[0].train(RandomKey(1, "train"), 1000)) == as_set(small)


def test_training_may_be_limited_to_short_operands():
    listed = listed_split(4, 2, SIZES, 5, by_length=False)
    hashed = hashed_split(lambda key, count, longest=20: uniform_pairs(key, count, longest), SIZES, 5)
    for split in (listed, hashed):
        drawn = split.train(RandomKey(1, "train"), 500, 2)
        assert max(to_integers(drawn.first, 2)) == max(to_integers(drawn.second, 2)) == 3
    by_length = listed_split(4, 2, {"validation": 1, "test": 1}, 5, by_length=True).train(RandomKey(1, "t"), 40_000, 3)
    shares = np.bincount(significant_lengths(by_length.first), minlength=5)[1:] / 40_000
    assert np.abs(shares - [1 / 3, 1 / 3, 1 / 3, 0]).max() < 0.06


def test_a_list_with_no_pair_that_is_short_enough_is_told():
    pairs = Problems(from_integers([5, 6], 4, 2), from_integers([1, 2], 4, 2))
    with pytest.raises(ValueError, match="--curriculum: no training pair has operands of at most 2 digits"):
        TrainingList(pairs).draw(RandomKey(0, "t"), 3, 2)


@pytest.mark.parametrize("trained_bits", [4, 10])
@pytest.mark.parametrize("bits", [2, 3, 9, 12])
def test_held_out_pairs_of_other_lengths_were_never_for_training(trained_bits, bits):
    sizes = {"validation": 200, "test": 200}
    trained_width, width = trained_bits, max(bits, trained_bits)

    def draw(key, count, longest=trained_bits):
        return uniform_pairs(key, count, longest)

    trained = listed_split(4, 2, SIZES, 3, by_length=False) if trained_bits == 4 else hashed_split(draw, SIZES, 3)

    def widened(problems):
        return Problems(*(np.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in (problems.first, problems.second)))

    listed = all_pairs(bits, 2, width) if bits < 10 else None
    split = LengthSplit(trained, trained_width, lambda key, count: widened(draw(key, count, bits)), sizes, listed)
    parts = [split.problems(name) for name in ("test", "validation")]
    assert not as_set(parts[0]) & as_set(parts[1])
    for part, name in zip(parts, ("test", "validation"), strict=True):
        assert len(part) == len(as_set(part)) <= 200
        assert max([0, *to_integers(part.first, 2), *to_integers(part.second, 2)]) < 2**bits
        short = part[~beyond(part, trained_width)]
        cut = Problems(short.first[:, :trained_width], short.second[:, :trained_width])
        assert trained.members(cut, name).all()
        assert len(part) == 200 or bits < trained_bits
    with pytest.raises(ValueError, match="is for evaluation"):
        split.train(RandomKey(0, "train"), 4)
