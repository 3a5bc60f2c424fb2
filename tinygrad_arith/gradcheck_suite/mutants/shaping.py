"""Wrong backwards of reshape (cache: shape), transpose (axes) and index (shape, index)."""

import numpy as np

from .activations import ENDINGS


def _column_order(backward, dy, cache):
    return dy.reshape(cache.shape, order="F")


def _same_axes(backward, dy, cache):
    """The forward's order of axes again, instead of its inverse: right only for orders that are their own inverse."""
    return backward(dy, cache._replace(axes=tuple(int(axis) for axis in np.argsort(cache.axes))))


def _reshaped(backward, dy, cache):
    """A reshape in place of the transposition."""
    return dy.reshape(backward(dy, cache).shape)


def _assigned(backward, dy, cache):
    """dx[index] = dy: an element taken several times keeps one of its gradients."""
    dx = np.zeros(cache.shape, dtype=dy.dtype)
    dx[cache.index] = dy
    return dx


def _everywhere(backward, dy, cache):
    """Elements that were not taken get a gradient too."""
    return backward(dy, cache) + 0.001


MUTANTS = {
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
    "index": {
        "repeated elements keep one gradient": _assigned,
        "elements that were not taken get a gradient": _everywhere,
        "shifted by one row": lambda backward, dy, cache: np.roll(backward(dy, cache), 1, axis=0),
        **ENDINGS,
    },
}
