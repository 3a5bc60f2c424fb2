"""Wrong backwards of sum, mean (cache: shape, axes) and max (is_max, ties, axes)."""

from math import prod

import numpy as np

from .activations import ENDINGS


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


def _ties_in_full(backward, dy, cache):
    return _spread(dy, cache.is_max.shape, cache.axes) * cache.is_max


def _first_tie(backward, dy, cache):
    return backward(dy, cache) * np.where(cache.is_max, 2.0, 1.0)


MUTANTS = {
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
