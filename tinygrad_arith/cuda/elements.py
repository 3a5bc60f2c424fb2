"""What a launch of an element-wise kernel needs to know of its arrays: their C type, their alignment, how many blocks.

A pack is the 16 bytes that a thread loads at once: 4 numbers of float32, 8 of bfloat16.
"""

from typing import Any

import ml_dtypes
import numpy as np

from .source import cupy

FLOAT32, BFLOAT16 = np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16)
DTYPES = (FLOAT32, BFLOAT16)
PACK_BYTES = 16
WARP = 32
THREADS = 256  # of a block, where nothing speaks for another number
MOST_BLOCKS = 65_536  # of an element-wise pass; threads take several packs where that is not enough
C_NAMES = {FLOAT32: "f32", BFLOAT16: "bf16"}
INDEX_TYPES: dict[np.dtype, str] = {np.dtype(np.int32): "int", np.dtype(np.int64): "long long"}


def pack_of(dtype: np.dtype) -> int:
    """How many numbers make a pack."""
    return PACK_BYTES // dtype.itemsize


def quotient(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def is_aligned(array: Any) -> bool:
    """Whether the array starts at a multiple of 16 bytes."""
    return array.data.ptr % PACK_BYTES == 0


def contiguous(array: Any) -> Any:
    """The array on the GPU, C-contiguous; copied only if it is not so already.

    Unlike `cupy.ascontiguousarray`, which makes one of shape (1,) of an array without axes.
    """
    return cupy.asarray(array, order="C")


def aligned(array: Any) -> Any:
    """The array, C-contiguous and aligned; copied only if it is not so already (CuPy's own allocations are)."""
    array = contiguous(array)
    return array if is_aligned(array) else array.copy()


def rows_of(x: Any) -> Any:  # (..., C) -> (N, C)
    """Every position as a row, contiguous and aligned."""
    return aligned(x.reshape(-1, x.shape[-1]))


def indices_of(ids: Any) -> Any:  # (...) int, on any device -> (N,) int32 or int64 on the GPU
    """Ids or targets as a kernel takes them."""
    ids = contiguous(cupy.asarray(ids).reshape(-1))
    return ids if ids.dtype in INDEX_TYPES else ids.astype(np.int64)


def run_over(kernel: Any, arrays: tuple, *more: Any, row: int = 0) -> None:
    """Launches a pass over all elements of arrays of one size, by the packs of the first one.

    Calls kernel(*arrays, packs, size, *more): `packs` are taken whole, the other elements one by one.

    row: the length of the rows that the kernel takes packs from, 0 if it looks at no rows
    """
    size, pack = arrays[0].size, pack_of(arrays[0].dtype)
    whole = row % pack == 0 and all(is_aligned(array) for array in arrays if array is not None)
    packs = size // pack if whole else 0
    work = max(packs, size - packs * pack)
    kernel(min(quotient(work, THREADS), MOST_BLOCKS), THREADS, *arrays, packs, size, *more)


def contiguous_like(array: Any) -> Any:
    """A new array of the same shape and dtype, C-contiguous however the other lies."""
    return cupy.empty(array.shape, dtype=array.dtype)
