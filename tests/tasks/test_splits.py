"""No pair of operands is in two splits, sizes are exact, and nothing depends on the order of draws."""

import numpy as np
import pytest

from tinygrad_arith.backend import RandomKey
from tinygrad_arith.tasks import Problems, TaskConfig, build_task
from tinygrad_arith.tasks.digits import from_integers, random_digits, significant_lengths, to_integers
from tinygrad_arith.tasks.splits import HashedSplit, ListedSplit, hash_pairs, mix

SIZES = {"validation": 23, "test": 71}


def as_set(problems, base=2):
    return set(zip(to_integers(problems.first, base), to_integers(problems.second, base), strict=True))


def uniform_pairs(key, count, width=20):
    both = random_digits(key, 2 * count, width, 2)
    return Problems(both[:count], both[count:])


@pytest.mark.parametrize("by_length", [False, True])
@pytest.mark.parametrize(("width", "base"), [(4, 2), (2, 10)])
def test_listed_splits_have_exact_sizes_and_make_up_all_pairs(width, base, by_length):
    split = ListedSplit(width, base, SIZES, seed=5, by_length=by_length)
    test, validation = as_set(split.held_out("test"), base), as_set(split.held_out("validation"), base)
    train = as_set(split.pairs[split.indices["train"]], base)
    assert (len(test), len(validation)) == (71, 23)
    assert len(train) == split.train_size == base ** (2 * width) - 94
    assert len(test | validation | train) == base ** (2 * width)
    assert as_set(split.train(RandomKey(1, "train"), 4000), base) <= train


def test_a_listed_training_draw_reaches_every_training_pair_equally_often():
    split = ListedSplit(4, 2, SIZES, seed=0, by_length=False)
    drawn = split.train(RandomKey(2, "train"), 100 * split.train_size)
    names, counts = np.unique(np.concatenate([drawn.first, drawn.second], axis=1), axis=0, return_counts=True)
    assert len(names) == split.train_size
    assert counts.min() > 50
    assert counts.max() < 160


def test_a_listed_draw_by_length_has_the_shares_of_lengths_that_rejection_would_give():
    split = ListedSplit(4, 2, {"validation": 4, "test": 4}, seed=0, by_length=True)
    drawn = split.train(RandomKey(2, "train"), 40_000)
    shares = np.bincount(significant_lengths(drawn.first), minlength=5)[1:] / 40_000
    assert np.abs(shares - 0.25).max() < 0.06  # 8 held-out pairs of 256 move the shares a little


@pytest.mark.parametrize("seed", [0, 2**63])
def test_hashed_splits_are_disjoint_distinct_and_of_the_asked_size(seed):
    split = HashedSplit(uniform_pairs, SIZES, seed)
    test, validation = split.held_out("test"), split.held_out("validation")
    assert (len(as_set(test)), len(as_set(validation))) == (len(test), len(validation)) == (71, 23)
    train = as_set(split.train(RandomKey(1, "train"), 3000))
    assert not as_set(test) & as_set(validation)
    assert not train & (as_set(test) | as_set(validation))
    assert split.members(test, "test").all()


def test_the_hash_gives_each_held_out_split_a_sixteenth():
    split = HashedSplit(uniform_pairs, SIZES, seed=9)
    problems = uniform_pairs(RandomKey(0, "any"), 200_000)
    shares = {name: split.members(problems, name).mean() for name in ("train", "validation", "test")}
    assert abs(sum(shares.values()) - 1) < 1e-12
    assert abs(shares["test"] - 1 / 16) < 0.002
    assert abs(shares["validation"] - 1 / 16) < 0.002


def test_a_larger_hashed_split_begins_with_a_smaller_one():
    small, large = (HashedSplit(uniform_pairs, {"test": size}, seed=1).held_out("test") for size in (50, 9000))
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
        task = build_task(TaskConfig(digits=bits, split_seed=split_seed, test_size=500))
        if train_first:
            task.train_batch(3, 50, seed=8)
        return as_set(task.problems("test", 500))

    assert held_out(0, True) == held_out(0, False)
    assert held_out(0, False) != held_out(1, False)
