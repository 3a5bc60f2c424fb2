"""`softmax` and `log_softmax`: where they are checked, and wrong backwards. Caches: y (the output), axes."""

import numpy as np

from ..case import Case, Cases
from ..mutant import ENDINGS, Mutant


def _softmax(rng):
    x = 2 * rng.normal(size=(2, 5, 3))
    return (
        Case("last axis", (x,)),
        Case("first axis", (x,), {"axis": 0}),
        Case("two axes", (x,), {"axis": (0, 2)}),
        Case("all axes", (x[0],), {"axis": None}),
        Case("far from 0", (np.array([[810.0, 812.5, 809.0], [-903.0, -900.0, -901.5]]),)),
        Case("strided view", (rng.normal(size=(4, 10, 2)).T[:, ::-2],), {"axis": -2}),
        Case("empty batch", (x[:0],), allow=("empty",)),
    )


CASES: dict[str, Cases] = {"softmax": _softmax, "log_softmax": _softmax}


def _total(values, cache):
    return values.sum(axis=cache.axes, keepdims=True)


def _last_axis(backward, dy, cache):
    """The sum over the last axis, whatever the axis was."""
    return backward(dy, cache._replace(axes=(dy.ndim - 1,)))


MUTANTS: dict[str, dict[str, Mutant]] = {
    "softmax": {
        "the diagonal of the Jacobian only": lambda backward, dy, cache: cache.y * (1.0 - cache.y) * dy,
        "without the sum over the row": lambda backward, dy, cache: cache.y * dy,
        "the sum without its weights y": lambda backward, dy, cache: cache.y * (dy - _total(dy, cache)),
        "the mean of dy instead of its weighted sum": lambda backward, dy, cache: (
            cache.y * (dy - dy.mean(axis=cache.axes, keepdims=True))
        ),
        "without the factor y": lambda backward, dy, cache: dy - _total(cache.y * dy, cache),
        "the backward of log_softmax": lambda backward, dy, cache: dy - cache.y * _total(dy, cache),
        "summed over the last axis": _last_axis,
        **ENDINGS,
    },
    "log_softmax": {
        "without the sum over the row": lambda backward, dy, cache: dy - np.exp(cache.y) * dy,
        "the output in place of its exp": lambda backward, dy, cache: dy - cache.y * _total(dy, cache),
        "without the softmax's term": lambda backward, dy, cache: dy.copy(),
        "the sum weighted with the softmax": lambda backward, dy, cache: (
            dy - np.exp(cache.y) * _total(np.exp(cache.y) * dy, cache)
        ),
        "the backward of softmax": lambda backward, dy, cache: (
            np.exp(cache.y) * (dy - _total(np.exp(cache.y) * dy, cache))
        ),
        "summed over the last axis": _last_axis,
        **ENDINGS,
    },
}
