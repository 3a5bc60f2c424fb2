"""`reshape` (cache: shape) and `transpose` (axes): where they are checked, and wrong backwards."""

import numpy as np

from ..case import Case, Cases
from ..mutant import ENDINGS, Mutant


def _reshape(rng):
    x = rng.normal(size=(2, 5, 3))
    return (
        Case("merge axes", (x,), {"shape": (10, 3)}),
        Case("split axes", (x,), {"shape": (2, 5, 3, 1)}),
        Case("a size of -1", (x,), {"shape": (6, -1)}),
        Case("transposed view", (x.T,), {"shape": (5, 6)}),
        Case("empty batch", (x[:0],), {"shape": (0, 15)}, allow=("empty",)),
    )


def _transpose(rng):
    x = rng.normal(size=(2, 5, 3, 4))
    return (
        Case("reversed", (x,)),
        Case("a cycle of axes", (x,), {"axes": (1, 2, 0, 3)}),
        Case("negative axes", (x,), {"axes": (0, -2, -3, 3)}),
        Case("strided view", (x[:, ::-1],), {"axes": (3, 0, 1, 2)}),
        Case("empty batch", (x[:0],), {"axes": (1, 0, 2, 3)}, allow=("empty",)),
    )


CASES: dict[str, Cases] = {"reshape": _reshape, "transpose": _transpose}


def _column_order(backward, dy, cache):
    return dy.reshape(cache.shape, order="F")


def _same_axes(backward, dy, cache):
    """The forward's order of axes again, instead of its inverse: right only for orders that are their own inverse."""
    return backward(dy, cache._replace(axes=tuple(int(axis) for axis in np.argsort(cache.axes))))


def _reshaped(backward, dy, cache):
    """A reshape in place of the transposition."""
    return dy.reshape(backward(dy, cache).shape)


MUTANTS: dict[str, dict[str, Mutant]] = {
    "reshape": {
        "in column order": _column_order,
        "reversed": lambda backward, dy, cache: backward(dy, cache)[::-1],
        **ENDINGS,
    },
    "transpose": {
        "the forward's order of axes instead of its inverse": _same_axes,
        "reshaped instead of transposed": _reshaped,
        **ENDINGS,
    },
}
