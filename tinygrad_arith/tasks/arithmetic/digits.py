"""Arithmetic on arrays of digits: vectorised over problems, looped over digits, exact for operands of any length.

A number is a row of digits, least significant first: 13 in base 2 and width 5 is [1, 0, 1, 1, 0].
"""

from collections.abc import Iterable

import numpy as np

from ...backend import RandomKey, integers, random_bits


def add(first: np.ndarray, second: np.ndarray, base: int) -> np.ndarray:
    """The sums of the rows of two digit arrays, each (n, D) uint8: (n, D + 1) uint8."""
    count, width = first.shape
    total = np.zeros((count, width + 1), dtype=np.uint8)  # (n, D + 1)
    for i in range(width):
        column = first[:, i] + second[:, i] + total[:, i]  # (n,), at most 2 * base - 1
        total[:, i + 1] = column >= base
        total[:, i] = column - base * total[:, i + 1]
    return total


def carried(columns: np.ndarray, base: int) -> np.ndarray:
    """Columns of any numbers, int64 (n, W), as digits (n, W) uint8: carries and borrows go to the next column."""
    digits = np.empty(columns.shape, dtype=np.uint8)
    carry = np.zeros(len(columns), dtype=np.int64)  # (n,)
    for i in range(columns.shape[1]):
        carry, digits[:, i] = np.divmod(columns[:, i] + carry, base)
    return digits


def is_less(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Where the first number of each pair (n, D) is the smaller one: bool (n,)."""
    less = np.zeros(len(first), dtype=bool)  # (n,)
    for i in range(first.shape[1]):  # the most significant place that differs has the last word
        less = np.where(first[:, i] == second[:, i], less, first[:, i] < second[:, i])
    return less


def larger_and_smaller(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of each pair (n, D), the larger ones first."""
    less = is_less(first, second)[:, None]  # (n, 1)
    return np.where(less, second, first), np.where(less, first, second)


def difference(first: np.ndarray, second: np.ndarray, base: int) -> np.ndarray:
    """|first - second| of the rows of two digit arrays, each (n, D) uint8: (n, D) uint8."""
    larger, smaller = larger_and_smaller(first, second)
    return carried(larger.astype(np.int64) - smaller, base)


def multiply(first: np.ndarray, second: np.ndarray, base: int) -> np.ndarray:
    """The products of the rows of two digit arrays, each (n, D) uint8: (n, 2D) uint8."""
    count, width = first.shape
    columns = np.zeros((count, 2 * width), dtype=np.int64)  # (n, 2D), at most D * (base - 1)**2 before the carries
    for i in range(width):
        columns[:, i : i + width] += first[:, i : i + 1].astype(np.int64) * second
    return carried(columns, base)


def longest_carry_chain(first: np.ndarray, second: np.ndarray, base: int) -> np.ndarray:
    """Over how many digits the farthest-travelling carry of each sum (n, D) is handed on: int64 (n,).

    A carry is born where two digits alone reach the base (a chain of 1) and handed on where they make exactly
    base - 1; where two digits reach the base again, a new carry is born, whatever came in. 0: no carry at all.
    """
    columns = first + second  # (n, D)
    return longest_chain(columns >= base, columns == base - 1)


def longest_borrow_chain(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The same for the borrows of each difference (n, D), of the larger number less the smaller one: int64 (n,).

    A borrow is born where the larger number has the smaller digit, and handed on where the digits are equal.
    """
    larger, smaller = larger_and_smaller(first, second)
    return longest_chain(larger < smaller, larger == smaller)


def longest_chain(born: np.ndarray, handed_on: np.ndarray) -> np.ndarray:
    """The most digits that a carry passes, from what happens at each digit, bool (n, D) each: int64 (n,)."""
    count, width = born.shape
    chain = np.zeros(count, dtype=np.int64)  # (n,), length of the chain whose carry leaves the current digit
    longest = np.zeros(count, dtype=np.int64)  # (n,)
    for i in range(width):
        longer = np.where(handed_on[:, i] & (chain > 0), chain + 1, 0)  # (n,)
        chain = np.where(born[:, i], 1, longer)  # (n,)
        longest = np.maximum(longest, chain)
    return longest


def significant_lengths(digits: np.ndarray) -> np.ndarray:
    """How many digits each number (n, D) has without leading zeros, int64 (n,); zero has one."""
    width = digits.shape[1]
    places = np.arange(1, width + 1)  # (D,)
    return np.maximum(1, np.max(np.where(digits > 0, places, 0), axis=1, initial=0))  # (n,)


def random_digits(key: RandomKey, count: int, width: int, base: int) -> np.ndarray:
    """`count` numbers drawn uniformly from those below base**width: uint8 (count, width)."""
    if base != 2:
        return integers(key, (count, width), 0, base).astype(np.uint8)
    words = random_bits(key, (count * width + 31) // 32)  # 32 binary digits in each
    bits = (words[:, None] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)  # (words, 32)
    return bits.reshape(-1)[: count * width].reshape(count, width).astype(np.uint8)


def random_digits_by_length(key: RandomKey, count: int, width: int, base: int, *, positive: bool = False) -> np.ndarray:
    """`count` numbers: a length uniform in 1..width, then a number of exactly that many digits: uint8 (count, width).

    A longer number's leading digit is not 0; of one digit are 0 to base - 1, or 1 to base - 1 (`positive`).
    """
    lengths = integers(key.at(purpose=key.purpose + ".lengths"), (count, 1), 1, width + 1)  # (n, 1)
    leading = integers(key.at(purpose=key.purpose + ".leading"), (count, 1), 1, base)  # (n, 1)
    digits = random_digits(key, count, width, base)  # (n, D)
    place = np.arange(1, width + 1)  # (D,)
    digits = np.where((place == lengths) & (positive | (lengths > 1)), leading, digits)
    return np.where(place <= lengths, digits, 0).astype(np.uint8)


def from_integers(numbers: Iterable[int], width: int, base: int) -> np.ndarray:
    """Numbers (Python integers of any size, or an integer array) as digits: uint8 (n, width).

    Raises ValueError if a number is negative or has more than `width` digits.
    """
    # An array keeps its 64-bit integers; anything else becomes Python integers, which have no limit.
    rest = numbers if isinstance(numbers, np.ndarray) else np.array([int(n) for n in numbers], dtype=object)  # (n,)
    digits = np.zeros((len(rest), width), dtype=np.uint8)  # (n, D)
    if any(rest < 0):
        raise ValueError("a negative number has no digits here")
    for i in range(width):
        digits[:, i] = rest % base
        rest = rest // base
    if any(rest > 0):
        raise ValueError(f"a number has more than {width} digits in base {base}")
    return digits


def to_integers(digits: np.ndarray, base: int) -> list[int]:
    """The numbers (n, D) as Python integers, which have no largest value."""
    return [sum(int(digit) * base**i for i, digit in enumerate(row)) for row in digits]
