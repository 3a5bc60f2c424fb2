"""Long sums, and products that are long sums, that keep their digits."""

from math import prod

import numpy as np

from ..backend import array_module

BLOCK = 16  # numbers that are added up one after another
LONG = 128  # terms that a product may add up


def sum_over(x, axes: tuple[int, ...], keepdims: bool = False):
    """Sum over these axes, as x.sum(axes, keepdims=keepdims).

    NumPy adds up the last axis in pairs of pairs, but all others one term after another: of a million terms the last
    hundreds are rounded away. So here blocks are added up, then blocks of their sums, and so on. (CuPy's sums do so.)
    """
    axes = tuple(sorted(axis % x.ndim for axis in axes))
    count = prod(x.shape[axis] for axis in axes)
    if array_module(x) is not np or count <= BLOCK or x.dtype.kind != "f" or in_pairs(x, axes):
        return x.sum(axis=axes, keepdims=keepdims)
    total = sum_first(np.moveaxis(x, axes[0], 0))  # without the first of the axes
    if axes[1:]:
        total = sum_over(total, tuple(axis - 1 for axis in axes[1:]))
    return np.expand_dims(total, axes) if keepdims else total


def in_pairs(x, axes: tuple[int, ...]) -> bool:
    """Whether NumPy adds up these axes in pairs of pairs: they are the last ones, and lie as they are counted."""
    return axes == tuple(range(x.ndim - len(axes), x.ndim)) and x.flags.c_contiguous


def sum_first(rows):  # (N, ...) -> (...)
    """Sum over the first axis. A block's rows are those N / BLOCK apart: so NumPy adds up long stretches."""
    while len(rows) > BLOCK:
        blocks, rest = divmod(len(rows), BLOCK)
        sums = rows[: len(rows) - rest].reshape(BLOCK, blocks, *rows.shape[1:]).sum(axis=0)  # (N // BLOCK, ...)
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


def product(a, b):  # a (..., M, K), b (..., K, N) -> (..., M, N)
    """a @ b; a long sum over K is the sum of two halves, each made likewise. (A GPU's products add up blocks.)"""
    half = a.shape[-1] // 2
    if a.shape[-1] <= LONG or a.dtype.kind != "f" or array_module(a) is not np:
        return a @ b
    return product(a[..., :half], b[..., :half, :]) + product(a[..., half:], b[..., half:, :])
