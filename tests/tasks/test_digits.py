"""Digit arithmetic against Python's integers, which have no largest value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_arith.backend import RandomKey
from tinygrad_arith.tasks.arithmetic import digits

bases = st.sampled_from([2, 3, 10, 16])


@st.composite
def pairs(draw):
    """A base, a width, and two lists of as many numbers that fit in it."""
    base, width, count = draw(bases), draw(st.integers(1, 90)), draw(st.integers(0, 5))
    numbers = st.lists(st.integers(0, base**width - 1), min_size=count, max_size=count)
    return base, width, draw(numbers), draw(numbers)


@given(pairs())
def test_addition_equals_that_of_python(drawn):
    base, width, first, second = drawn
    total = digits.add(digits.from_integers(first, width, base), digits.from_integers(second, width, base), base)
    assert total.shape == (len(first), width + 1)
    assert total.dtype == np.uint8
    assert digits.to_integers(total, base) == [a + b for a, b in zip(first, second, strict=True)]


@given(pairs())
def test_lengths_are_those_of_the_written_numbers(drawn):
    base, width, numbers, _ = drawn
    expected = [1] * len(numbers)
    for i, number in enumerate(numbers):
        while number >= base ** expected[i]:
            expected[i] += 1
    assert digits.significant_lengths(digits.from_integers(numbers, width, base)).tolist() == expected


def chain_by_hand(first, second, width):
    """The longest chain in base 2, from its definition: start at a 1 + 1, go on while exactly one of the bits is 1."""
    longest = 0
    for start in range(width):
        if first >> start & 1 and second >> start & 1:
            length = 1
            while start + length < width and (first >> (start + length) & 1) != (second >> (start + length) & 1):
                length += 1
            longest = max(longest, length)
    return longest


def test_longest_carry_chain_of_all_five_bit_pairs():
    width = 5
    first, second = np.divmod(np.arange(4**width), 2**width)
    found = digits.longest_carry_chain(
        digits.from_integers(first, width, 2), digits.from_integers(second, width, 2), base=2
    )
    assert found.tolist() == [chain_by_hand(a, b, width) for a, b in zip(first.tolist(), second.tolist(), strict=True)]


@pytest.mark.parametrize(
    ("first", "second", "chain"), [(999, 1, 3), (123, 456, 0), (55, 55, 1), (5, 5, 1), (1995, 2005, 3)]
)
def test_longest_carry_chain_in_decimal(first, second, chain):
    as_digits = [digits.from_integers([number], 4, 10) for number in (first, second)]
    assert digits.longest_carry_chain(*as_digits, base=10).tolist() == [chain]


def test_from_integers_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="more than 3 digits in base 2"):
        digits.from_integers([7, 8], 3, 2)
    with pytest.raises(ValueError, match="negative"):
        digits.from_integers([-1], 3, 2)


@pytest.mark.parametrize("base", [2, 10])
def test_random_digits_are_uniform(base):
    drawn = digits.random_digits(RandomKey(3, "test"), 20_000, 5, base)
    assert drawn.shape == (20_000, 5)
    assert drawn.dtype == np.uint8
    shares = np.stack([(drawn == digit).mean(axis=0) for digit in range(base)])
    assert np.abs(shares - 1 / base).max() < 0.02


@pytest.mark.parametrize("base", [2, 10])
@pytest.mark.parametrize("positive", [False, True])
def test_random_digits_by_length_have_uniform_lengths_and_uniform_values_of_each(base, positive):
    width = 4
    drawn = digits.random_digits_by_length(RandomKey(4, "test"), 40_000, width, base, positive=positive)
    lengths = digits.significant_lengths(drawn)
    shares = np.bincount(lengths, minlength=width + 1)[1:] / len(drawn)
    assert np.abs(shares - 1 / width).max() < 0.01
    values = np.array(digits.to_integers(drawn, base))
    for length in (1, 2, 3):
        low = 0 if length == 1 and not positive else base ** (length - 1)
        of_length = values[lengths == length]
        assert of_length.min() == low
        assert of_length.max() == base**length - 1
        assert abs(of_length.mean() - (low + base**length - 1) / 2) < 0.03 * base**length


def test_no_rows_are_fine():
    empty = np.zeros((0, 6), dtype=np.uint8)
    assert digits.add(empty, empty, 2).shape == (0, 7)
    assert digits.longest_carry_chain(empty, empty, 2).shape == (0,)
    assert digits.significant_lengths(empty).shape == (0,)
    assert digits.random_digits(RandomKey(0, "none"), 0, 6, 2).shape == (0, 6)


@given(pairs())
def test_differences_products_and_comparisons_equal_those_of_python(drawn):
    base, width, first, second = drawn
    rows = digits.from_integers(first, width, base), digits.from_integers(second, width, base)
    both = list(zip(first, second, strict=True))
    assert digits.is_less(*rows).tolist() == [a < b for a, b in both]
    difference = digits.difference(*rows, base)
    assert (difference.shape, difference.dtype) == ((len(first), width), np.uint8)
    assert digits.to_integers(difference, base) == [abs(a - b) for a, b in both]
    product = digits.multiply(*rows, base)
    assert (product.shape, product.dtype) == ((len(first), 2 * width), np.uint8)
    assert digits.to_integers(product, base) == [a * b for a, b in both]


@pytest.mark.parametrize(
    ("first", "second", "chain"),
    [(1000, 1, 3), (1, 1000, 3), (456, 123, 0), (5050, 606, 1), (1234, 1234, 0), (2100, 2, 2)],
)
def test_longest_borrow_chain(first, second, chain):
    as_digits = [digits.from_integers([number], 4, 10) for number in (first, second)]
    assert digits.longest_borrow_chain(*as_digits).tolist() == [chain]
