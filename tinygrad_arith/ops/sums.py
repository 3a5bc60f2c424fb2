"""Long sums that keep their digits."""

from math import prod

BLOCK = 16  # numbers that are added up one after another


def sum_over(x, axes: tuple[int, ...], keepdims: bool = False):
    """Sum over these axes, as x.sum(axes, keepdims=keepdims).

    NumPy adds up the last axis in pairs of pairs, but all others one term after another: of a million terms the last
    hundreds are rounded away. So here blocks are added up, then blocks of their sums, and so on.
    """
    axes = tuple(axis % x.ndim for axis in axes)
    kept = tuple(axis for axis in range(x.ndim) if axis not in axes)
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    total = sum_first(x.transpose(*axes, *kept).reshape(prod(x.shape[a] for a in axes), *(x.shape[a] for a in kept)))
    return total.reshape(shape) if keepdims else total


def sum_first(rows):  # (N, ...) -> (...)
    """Sum over the first axis."""
    while len(rows) > BLOCK:
        blocks, rest = divmod(len(rows), BLOCK)
        sums = rows[: len(rows) - rest].reshape(blocks, BLOCK, *rows.shape[1:]).sum(axis=1)  # (N // BLOCK, ...)
        if rest:
            sums[-1] += rows[len(rows) - rest :].sum(axis=0)
        rows = sums
    return rows.sum(axis=0)
