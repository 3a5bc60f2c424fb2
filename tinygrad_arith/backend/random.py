"""Counter-based random numbers: Philox4x32-10, the same numbers on CPU and GPU.

A draw is a pure function of its key, `(seed, purpose, step, site, row)`, and of the element's index. Nothing is carried
from one draw to the next, so a draw does not depend on what was drawn before it, a run resumes at any step without
saved state, and dropout's backward draws its forward's mask again instead of storing it.

Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3 and table 2,
https://doi.org/10.1145/2063384.2063405.
"""

import math
import operator
import zlib
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

MULTIPLIER_0, MULTIPLIER_1 = 0xD2511F53, 0xCD9E8D57  # the paper's M constants for four 32-bit words
WEYL_0, WEYL_1 = 0x9E3779B9, 0xBB67AE85  # the golden ratio and sqrt(3) - 1: added to the key after every round
ROUNDS = 10
MASK_32 = 0xFFFFFFFF


@dataclass(frozen=True)
class RandomKey:
    """The name of a stream of random numbers.

    seed:    chosen by the user, 0 to 2**64 - 1
    purpose: what the numbers are for ("init", "train", "dropout", ...); two purposes never share numbers
    step:    the training step, 0 to 2**32 - 1
    site:    which of several places with this purpose, 0 to 2**32 - 1; fixed at construction, not by call order
    row:     for an array that is a part of a larger one: which row of that one its first row is. Its numbers are those
             that the larger one has there, so that a batch may be shared in any way and still draws the same. It has
             2**64 numbers at most

    Raises ValueError for a number outside these ranges (two keys would draw the same), TypeError for what is no number
    or no text.
    """

    seed: int
    purpose: str
    step: int = 0
    site: int = 0
    row: int = 0

    def __post_init__(self) -> None:
        for name, bits in (("seed", 64), ("step", 32), ("site", 32), ("row", 64)):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), bits))
        if not isinstance(self.purpose, str):
            raise TypeError(f"a purpose must be a text, such as 'sample', not {self.purpose!r}")

    def at(self, **changes) -> "RandomKey":
        """The same key at another step, site, row or purpose."""
        return replace(self, **changes)

    def words(self) -> tuple[int, int]:
        """The 64-bit Philox key: the seed, with the purpose mixed in."""
        mixed = (self.seed ^ (zlib.crc32(self.purpose.encode()) * WEYL_0)) & 0xFFFFFFFFFFFFFFFF
        return mixed & MASK_32, mixed >> 32


def whole_number(name: str, value, bits: int):
    """The number as Python's, which does not overflow; an array () on a device is not read.

    Raises TypeError for what is no whole number, ValueError for one out of range.
    """
    if hasattr(value, "shape") and not isinstance(value, np.generic | np.ndarray):
        return value
    rule = f"a {name} must be a whole number from 0 to 2**{bits} - 1"
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{rule}, not {value!r} ({type(value).__name__})") from None
    if not 0 <= number < 2**bits:
        raise ValueError(f"{rule}, not {number}")
    return number


def philox4x32(counter, key: tuple[int, int]):  # counter (4, n) uint32
    """Ten rounds of Philox on `n` counters of four 32-bit words; returns (4, n) uint32."""
    c0, c1, c2, c3 = (word.astype(np.uint64) for word in counter)  # 64-bit lanes hold the 32 x 32 bit products
    k0, k1 = key
    for _ in range(ROUNDS):
        product_0, product_1 = c0 * MULTIPLIER_0, c2 * MULTIPLIER_1
        c0, c1, c2, c3 = (
            (product_1 >> 32) ^ c1 ^ k0,
            product_1 & MASK_32,
            (product_0 >> 32) ^ c3 ^ k1,
            product_0 & MASK_32,
        )
        k0, k1 = (k0 + WEYL_0) & MASK_32, (k1 + WEYL_1) & MASK_32
    return [word.astype(np.uint32) for word in (c0, c1, c2, c3)]


def random_bits(key: RandomKey, count: int, xp: ModuleType = np, start: int = 0):
    """Random 32-bit words, from number `start` on. Word `i` is word `i % 4` of block `i // 4`, so a longer draw begins
    with a shorter.

    Returns uint32 (count,).
    """
    first, end = start // 4, (start + count + 3) // 4
    blocks = end - first
    index = xp.arange(first, end, dtype=np.uint64)
    counter = [
        (index & MASK_32).astype(np.uint32),
        (index >> 32).astype(np.uint32),
        xp.full(blocks, key.step, dtype=np.uint32),
        xp.full(blocks, key.site, dtype=np.uint32),
    ]
    words = philox4x32(counter, key.words())
    return xp.stack(words, axis=1).reshape(-1)[start - 4 * first :][:count]  # (count,)


def bits_of(key: RandomKey, shape, each: int, xp: ModuleType):
    """`each` words for every element of an array of this shape, whose first row is row `key.row` of a larger one.

    Returns uint32 (elements * each,).
    """
    require_numbers(key, shape, each)
    row_size = each * int(np.prod(np.atleast_1d(shape)[1:]))
    return random_bits(key, each * int(np.prod(shape)), xp, key.row * row_size)


def require_numbers(key: RandomKey, shape, each: int = 1) -> None:
    """Raises ValueError where an array of this shape goes beyond the numbers that there are; kernels would wrap."""
    rows, *of_row = np.atleast_1d(shape).tolist() or [1]
    if (key.row + rows) * math.prod(of_row, start=each) > 2**64:
        raise ValueError(f"a row of {key.row} is too large for an array {shape}: its random numbers end at 2**64")


def uniform(key: RandomKey, shape, dtype=np.float32, xp: ModuleType = np):
    """Uniform in [0, 1), of the given shape: 24 random bits an element, so that float32 holds each value exactly."""
    bits = bits_of(key, shape, 1, xp)
    return ((bits >> 8).astype(dtype) * 2.0**-24).reshape(shape)


def integers(key: RandomKey, shape, low: int, high: int, xp: ModuleType = np):
    """Integers in [low, high), int64, of the given shape, for ranges up to 2**32.

    By multiply and shift (Lemire 2019, arXiv 1805.10941, without the rejection step): a value's probability is off
    by less than (high - low) / 2**32 of itself.
    """
    bits = bits_of(key, shape, 1, xp)
    return (low + ((bits.astype(np.uint64) * (high - low)) >> 32).astype(np.int64)).reshape(shape)


def normal(key: RandomKey, shape, dtype=np.float32, xp: ModuleType = np):
    """Standard normal numbers of the given shape, computed in float64, then cast.

    Box and Muller 1958, https://doi.org/10.1214/aoms/1177706645.
    """
    bits = bits_of(key, shape, 2, xp).reshape(-1, 2)
    radius = xp.sqrt(-2.0 * xp.log((bits[:, 0] + 1.0) * 2.0**-32))  # + 1: the logarithm of 0 is never taken
    angle = (2.0 * np.pi * 2.0**-32) * bits[:, 1]
    return (radius * xp.cos(angle)).astype(dtype).reshape(shape)
