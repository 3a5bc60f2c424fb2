"""`sum`, `mean` (cache: shape, axes) and `max` (is_max, ties, axes): where they are checked, and wrong backwards."""

from math import prod

import numpy as np

from ..case import Case, Cases
from ..mutant import ENDINGS, Mutant


def _reduction(rng):
    x = rng.permuted(np.linspace(-2.0, 2.0, 30)).reshape(2, 5, 3)  # no ties, no near ties
    return (
        Case("all axes", (x,)),
        Case("last axis", (x,), {"axis": -1}),
        Case("middle axis, kept", (x,), {"axis": 1, "keepdims": True}),
        Case("two axes", (x,), {"axis": (0, 2)}),
        Case("strided view", (x.T[:, ::-1],), {"axis": 0}),
    )


def _max(rng):
    ties = np.array([[1.0, 3.0, 3.0], [2.0, -1.0, 0.5]])
    return (*_reduction(rng), Case("ties", (ties,), {"axis": 1}, allow=("kinks",)))


CASES: dict[str, Cases] = {"sum": _reduction, "mean": _reduction, "max": _max}


def _count(cache):
    return prod(cache.shape[axis] for axis in cache.axes)


def _spread(dy, shape, axes):
    """dy copied along the reduced axes, (shape)."""
    with_ones = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return np.broadcast_to(dy.reshape(with_ones), shape).copy()


def _first_only(backward, dy, cache):
    """Only the first element along the reduced axes gets a gradient."""
    dx = np.zeros(cache.shape, dtype=dy.dtype)
    where = tuple(slice(0, 1) if axis in cache.axes else slice(None) for axis in range(len(cache.shape)))
    dx[where] = backward(dy, cache)[where]
    return dx


def _misplaced(backward, dy, cache):
    """dy repeated in the order of memory instead of along the reduced axes."""
    return np.resize(dy, cache.shape) * (backward(dy * 0 + 1, cache))


def _first_tie(backward, dy, cache):
    return backward(dy, cache) * np.where(cache.is_max, 2.0, 1.0)


MUTANTS: dict[str, dict[str, Mutant]] = {
    "sum": {
        "divided by the number of elements": lambda backward, dy, cache: backward(dy, cache) / _count(cache),
        "only the first element of each sum": _first_only,
        "dy repeated along the wrong axis": _misplaced,
        **ENDINGS,
    },
    "mean": {
        "not divided by the count": lambda backward, dy, cache: backward(dy, cache) * _count(cache),
        "divided by the size of the whole array": lambda backward, dy, cache: (
            backward(dy, cache) * _count(cache) / prod(cache.shape)
        ),
        "only the first element of each mean": _first_only,
        "dy repeated along the wrong axis": _misplaced,
        **ENDINGS,
    },
    "max": {
        "every element gets the gradient": lambda backward, dy, cache: _spread(dy, cache.is_max.shape, cache.axes),
        "every element but the largest": lambda backward, dy, cache: (
            _spread(dy, cache.is_max.shape, cache.axes) * ~cache.is_max
        ),
        "the element before the largest": lambda backward, dy, cache: np.roll(backward(dy, cache), -1),
        "twice the gradient": _first_tie,
        **ENDINGS,
    },
}
