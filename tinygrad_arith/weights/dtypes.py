"""The dtypes of safetensors, and numbers copied from one to another in blocks.

bfloat16 is the upper half of a float32, so it needs no package: 16 bits are moved, and rounded on the way back.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backend import array_module

BITS = {
    **{"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64},
    **{"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "C64": 64},
    **{"F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8},
    **{"F6_E2M3": 6, "F6_E3M2": 6, "F4": 4},
}  # of all that the format has: https://github.com/huggingface/safetensors
WEIGHTS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # those that parameters are read from, as stored
NUMBERS = WEIGHTS | {
    **{"BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4"},
    **{"U64": "<u8", "I64": "<i8"},
}
NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
BY_RANGE = ("F16", "BF16", "F32", "F64")  # the largest number of each is above the largest of the one before
BLOCK = 2**20  # numbers that are converted at a time
ROWS = 64  # that are transposed at a time: their columns are written while they are in the cache


def widened(bits: np.ndarray) -> np.ndarray:
    """The float32 numbers that bfloat16 stands for, given as its bits, uint16 (...)."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def narrowed(numbers: np.ndarray) -> np.ndarray:
    """The bits, uint16 (...), of the nearest bfloat16 of float32 numbers; of two that are equally near the even one."""
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16  # a carry goes on into the exponent, as it should
    not_a_number = (bits & 0x7FFFFFFF) > 0x7F800000
    return np.where(not_a_number, (bits >> 16) | 0x40, rounded).astype(np.uint16).reshape(np.shape(numbers))


def blocks(shape: tuple[int, ...], transposed: bool = False) -> Iterator[Any]:
    """Parts of an array along its first axis, each small enough to be converted at once."""
    if not shape:
        yield ...
        return
    count = max(BLOCK // max(math.prod(shape[1:]), 1), 1)
    count = min(count, ROWS) if transposed else count
    for start in range(0, shape[0], count):
        yield slice(start, start + count)


def copy_numbers(target: Any, stored: np.ndarray, dtype: str, transposed: bool = False) -> None:
    """Writes a tensor of a file into an array of the same shape, on any device, in that array's dtype.

    transposed: whether the tensor lies in the file the other way round than the array in memory

    Raises FloatingPointError for a number beyond the range of the array's dtype.
    """
    if transposed:
        target, stored = target.T, stored.T  # both as in the file
    if array_module(target) is not np:
        for part in blocks(stored.shape):
            numbers = converted(as_numbers(np.ascontiguousarray(stored[part]), dtype), target.dtype)
            target[part] = array_module(target).asarray(numbers)
        return
    to_bits = target.dtype.name == "bfloat16"
    target = target.view(np.uint16) if to_bits else target
    with np.errstate(over="raise"):
        for part in blocks(stored.shape, transposed):
            values = stored[part]
            if not (to_bits and dtype == "BF16"):
                values = as_numbers(values, dtype)
                values = bits_of(values) if to_bits else values
            np.copyto(target[part], values, casting="unsafe")


def check_range(stored: np.ndarray, dtype: str, wanted: Any) -> None:
    """Raises FloatingPointError where a tensor of a file holds a number beyond the range of another dtype."""
    if BY_RANGE.index(dtype) > BY_RANGE.index(NAMES[wanted.name]):
        for part in blocks(stored.shape):
            converted(as_numbers(stored[part], dtype), wanted)


def converted(numbers: np.ndarray, dtype: Any) -> np.ndarray:
    """Numbers in another dtype, or as they are. Raises FloatingPointError for a finite one beyond its range."""
    if numbers.dtype == dtype:
        return numbers
    if dtype.name == "bfloat16":
        return bits_of(numbers).view(dtype)
    with np.errstate(over="raise"):
        return in_numpy(numbers).astype(dtype)


def bits_of(numbers: np.ndarray) -> np.ndarray:
    """As `narrowed`, for numbers of any dtype. Raises FloatingPointError for a finite one that would be infinite."""
    if numbers.dtype.name == "bfloat16":
        return numbers.view(np.uint16)
    with np.errstate(over="raise"):
        bits = narrowed(numbers.astype(np.float32, copy=False))
    if (((bits & 0x7FFF) == 0x7F80) & np.isfinite(numbers)).any():
        raise FloatingPointError
    return bits


def in_numpy(numbers: np.ndarray) -> np.ndarray:
    """bfloat16 in float32, whose conversion notices what is too large; numbers of NumPy's own dtypes as they are."""
    return widened(numbers.view(np.uint16)) if numbers.dtype.name == "bfloat16" else numbers


def as_numbers(stored: np.ndarray, dtype: str) -> np.ndarray:
    """What is stored as NumPy's numbers: bfloat16 becomes float32."""
    return widened(stored) if dtype == "BF16" else stored


def as_stored(array: np.ndarray, dtype: str) -> np.ndarray:
    """Numbers as a file of this dtype has them, contiguous. Raises FloatingPointError for one beyond its range."""
    return np.ascontiguousarray(bits_of(array) if dtype == "BF16" else converted(array, np.dtype(WEIGHTS[dtype])))
