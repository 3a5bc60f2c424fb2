"""`index`: where it is checked, and wrong backwards. Cache: shape, index."""

import numpy as np

from ..case import Case, Cases
from ..mutant import ENDINGS, Mutant


def _index(rng):
    x = rng.normal(size=(4, 5, 3))
    return (
        Case("a row", (x,), {"index": 2}),
        Case("slices", (x,), {"index": (slice(1, None), slice(None, None, -2))}),
        Case("repeated rows", (x,), {"index": np.array([3, 0, 3, 3])}),
        Case("pairs", (x,), {"index": (np.array([0, 2, 2]), np.array([4, 1, 1]))}),
        Case("a mask", (x,), {"index": x[..., 0] > 0}),
        Case("a new axis", (x,), {"index": (Ellipsis, None, 0)}),
    )


CASES: dict[str, Cases] = {"index": _index}


def _assigned(backward, dy, cache):
    """dx[index] = dy: an element taken several times keeps one of its gradients."""
    dx = np.zeros(cache.shape, dtype=dy.dtype)
    dx[cache.index] = dy
    return dx


def _everywhere(backward, dy, cache):
    """Elements that were not taken get a gradient too."""
    return backward(dy, cache) + 0.001


MUTANTS: dict[str, dict[str, Mutant]] = {
    "index": {
        "repeated elements keep one gradient": _assigned,
        "elements that were not taken get a gradient": _everywhere,
        "shifted by one row": lambda backward, dy, cache: np.roll(backward(dy, cache), 1, axis=0),
        **ENDINGS,
    }
}
