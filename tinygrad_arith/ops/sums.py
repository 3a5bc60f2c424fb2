"""Long sums that keep their digits."""

from math import prod

import numpy as np

from ..backend import array_module

BLOCK = 16  # numbers that are added up one after another


def sum_over(x, axes: tuple[int, ...], keepdims: bool = False):
    """Sum over these axes, as x.sum(axes, keepdims=keepdims).

    NumPy adds up the last axis in pairs of pairs, but all others one term after another: of a million terms the last
    hundreds are rounded away. So here blocks are added up, then blocks of their sums, and so on. (CuPy's sums do so.)
    """
    axes = tuple(sorted(axis % x.ndim for axis in axes))
    kept = tuple(axis for axis in range(x.ndim) if axis not in axes)
    count = prod(x.shape[axis] for axis in axes)
    if array_module(x) is not np or count <= BLOCK or x.dtype.kind != "f" or in_pairs(x, axes):
        return x.sum(axis=axes, keepdims=keepdims)
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    total = sum_first(x.transpose(*axes, *kept).reshape(count, *(x.shape[axis] for axis in kept)))
    return total.reshape(shape) if keepdims else total


def in_pairs(x, axes: tuple[int, ...]) -> bool:
    """Whether NumPy adds up these axes in pairs of pairs: they are the last ones, and lie as they are counted."""
    return axes == tuple(range(x.ndim - len(axes), x.ndim)) and x.flags.c_contiguous


def sum_first(rows):  # (N, ...) -> (...)
    """Sum over the first axis."""
    while len(rows) > BLOCK:
        blocks, rest = divmod(len(rows), BLOCK)
        sums = rows[: len(rows) - rest].reshape(blocks, BLOCK, *rows.shape[1:]).sum(axis=1)  # (N // BLOCK, ...)
        if rest:
            sums[-1] += rows[len(rows) - rest :].sum(axis=0)
        rows = sums
    return rows.sum(axis=0)


def mean_over(x, axes: tuple[int, ...], keepdims: bool = False):
    """Mean over these axes, as x.mean(axes, keepdims=keepdims), by `sum_over`; float16 could not hold the sum."""
    count = prod(x.shape[axis] for axis in axes)
    if array_module(x) is not np or x.dtype not in (np.float32, np.float64) or not count:
        return x.mean(axis=axes, keepdims=keepdims)
    return sum_over(x, axes, keepdims) / x.dtype.type(count)
