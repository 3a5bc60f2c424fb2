"""The random numbers: known answers, purity, and sane distributions."""

import numpy as np
import pytest

from tinygrad_arith.autograd.functions import dropout
from tinygrad_arith.backend import RandomKey, integers, normal, random_bits, uniform
from tinygrad_arith.backend.random import philox4x32

KEY = RandomKey(seed=7, purpose="test", step=3, site=2)
DRAWS = {
    "bits": lambda key, n: random_bits(key, n),
    "uniform": lambda key, n: uniform(key, (n,)),
    "integers": lambda key, n: integers(key, (n,), -3, 1000),
    "normal": lambda key, n: normal(key, (n,), np.float64),
}


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter, key, expected):
    words = philox4x32(np.array(counter, dtype=np.uint32)[:, None], key)
    assert tuple(int(word[0]) for word in words) == expected


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_draw_is_a_pure_function_and_a_longer_one_begins_with_a_shorter(draw):
    long = draw(KEY, 103)
    draw(KEY.at(step=4), 50)
    np.testing.assert_array_equal(draw(KEY, 103), long)
    for count in (0, 1, 2, 3, 4, 5, 50):
        np.testing.assert_array_equal(draw(KEY, count), long[:count])


def test_every_part_of_the_key_changes_the_numbers():
    others = [KEY, *(KEY.at(**{name: value}) for name, value in CHANGES)]
    draws = [tuple(random_bits(key, 8).tolist()) for key in others]
    assert len(set(draws)) == len(others)


CHANGES = [("seed", 8), ("seed", 7 + 2**32), ("purpose", "tests"), ("step", 2**32 - 1), ("site", 0)]


def test_streams_do_not_share_words():
    streams = [random_bits(KEY.at(site=site, step=step), 4096) for site in range(4) for step in range(4)]
    words = np.concatenate(streams)
    assert len(np.unique(words)) > len(words) - 30  # 65,536 words of 32 bits: 0.5 chance collisions are expected


def test_a_shape_is_filled_in_element_order():
    np.testing.assert_array_equal(uniform(KEY, (3, 5)).reshape(-1), uniform(KEY, (15,)))
    assert uniform(KEY, ()).shape == ()
    assert normal(KEY, (0, 4)).shape == (0, 4)


@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 2, 5), (7, 4)], ids=str)  # rows of 1, 3, 10 and 4 words
@pytest.mark.parametrize("name", ["uniform", "integers", "normal"])
def test_a_row_of_the_key_gives_the_numbers_of_that_row_on(name, shape):
    draw = {
        "uniform": lambda key, shape: uniform(key, shape),
        "integers": lambda key, shape: integers(key, shape, -3, 1000),
        "normal": lambda key, shape: normal(key, shape),
    }[name]
    whole = draw(KEY, shape)
    for row in range(shape[0] + 1):
        part = draw(KEY.at(row=row), (shape[0] - row, *shape[1:]))
        np.testing.assert_array_equal(part, whole[row:])


@pytest.mark.parametrize("name", ["uniform", "integers", "normal"])
def test_a_row_beyond_the_numbers_that_there_are_is_refused(name):
    """A kernel's counter of 64 bits would begin again."""
    draw = {
        "uniform": lambda key: uniform(key, (64, 7)),
        "integers": lambda key: integers(key, (64, 7), -3, 1000),
        "normal": lambda key: normal(key, (64, 7)),
    }[name]
    last = 2**64 // (14 if name == "normal" else 7) - 64
    assert draw(KEY.at(row=last)).shape == (64, 7)
    for row in (last + 1, 2**63, 2**64 - 1):
        with pytest.raises(
            ValueError, match=rf"^a row of {row} is too large for an array \(64, 7\): its random numbers end"
        ):
            draw(KEY.at(row=row))


@pytest.mark.parametrize("purpose", [3, None, b"sample"])
def test_a_purpose_is_a_text(purpose):
    with pytest.raises(TypeError, match=r"^a purpose must be a text, such as 'sample', not "):
        RandomKey(1, purpose)


def test_rows_may_be_given_as_one_number():
    np.testing.assert_array_equal(integers(KEY.at(row=5), 6, 0, 99), integers(KEY, 11, 0, 99)[5:])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniform_is_uniform_in_its_half_open_range(dtype):
    drawn = uniform(KEY, (100_000,), dtype)
    assert drawn.dtype == dtype
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    shares = np.histogram(drawn, bins=20, range=(0, 1))[0] / len(drawn)
    assert np.abs(shares - 0.05).max() < 0.004


def test_uniform_values_do_not_depend_on_the_dtype():
    np.testing.assert_array_equal(uniform(KEY, (99,), np.float32), uniform(KEY, (99,), np.float64))


def test_integers_reach_each_value_of_their_range_equally_often():
    drawn = integers(KEY, (70_000,), -3, 4)
    assert drawn.dtype == np.int64
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert np.abs(counts / 70_000 - 1 / 7).max() < 0.006


def test_integers_span_the_whole_of_32_bits():
    np.testing.assert_array_equal(integers(KEY, (99,), 0, 2**32), random_bits(KEY, 99).astype(np.int64))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normal_has_the_moments_and_tails_of_a_normal(dtype):
    drawn = normal(KEY, (200_000,), dtype)
    assert drawn.dtype == dtype
    assert np.isfinite(drawn).all()
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.var() - 1.0) < 0.02
    assert abs((drawn**3).mean()) < 0.05
    assert abs((drawn**4).mean() - 3.0) < 0.15
    assert abs((np.abs(drawn) > 1.959964).mean() - 0.05) < 0.003


@pytest.mark.parametrize("seed", [-1, -(2**70), 2**64, 2**64 + 5])
def test_a_seed_that_would_share_numbers_with_another_is_refused(seed):
    with pytest.raises(ValueError, match=r"a seed must be a whole number from 0 to 2\*\*64 - 1, not"):
        RandomKey(seed, "train")


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.int8, np.uint32])
def test_seeds_of_numpy_are_numbers(kind):
    np.testing.assert_array_equal(uniform(RandomKey(kind(7), "train"), 5), uniform(RandomKey(7, "train"), 5))


def test_the_largest_seed_is_one_of_its_own():
    draws = [uniform(RandomKey(seed, "train"), 5) for seed in (2**64 - 1, 2**32 - 1, 2**63)]
    assert len({draw.tobytes() for draw in draws}) == 3
    with pytest.raises(TypeError, match="float"):
        RandomKey(1.5, "train")


@pytest.mark.parametrize("name", ["step", "site", "row", "seed"])
@pytest.mark.parametrize("value", [-1, 2**64, 1.5, None, "a", np.float32(2.0)])
def test_a_key_is_made_of_whole_numbers_in_their_range(name, value):
    rule = rf"a {name} must be a whole number from 0 to 2\*\*\d+ - 1, not"
    with pytest.raises(ValueError if isinstance(value, int) else TypeError, match=rule):
        KEY.at(**{name: value})


@pytest.mark.parametrize("name", ["step", "site"])
def test_a_step_beyond_32_bits_is_refused(name):
    with pytest.raises(ValueError, match=rf"a {name} must be a whole number from 0 to 2\*\*32 - 1, not 4294967296"):
        KEY.at(**{name: 2**32})
    assert getattr(KEY.at(**{name: np.uint32(2**32 - 1)}), name) == 2**32 - 1


@pytest.mark.parametrize("key", [None, 7, "dropout"])
def test_dropout_needs_a_key(key):
    with pytest.raises(TypeError, match="dropout: the key must be a RandomKey, which names the random numbers, not"):
        dropout(np.ones(3), 0.5, key)
