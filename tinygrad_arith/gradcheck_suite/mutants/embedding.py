"""Wrong backwards of `embedding`. Cache: ids (...) int, table_shape (V, C)."""

import numpy as np

from .common import negated, one_element_wrong, ones_cotangent, scaled


def overwritten(backward, dy, cache):
    """dtable[ids] = dy, or += : NumPy then keeps the last of several contributions to a row."""
    dtable = np.zeros(cache.table_shape, dtype=dy.dtype)  # (V, C)
    dtable[cache.ids] += dy
    return dtable


def next_row(backward, dy, cache):
    """Every gradient goes one row too far."""
    return np.roll(backward(dy, cache), 1, axis=0)


def mean_over_uses(backward, dy, cache):
    """A row used n times gets the mean of its gradients instead of their sum."""
    uses = np.bincount(np.ravel(cache.ids), minlength=cache.table_shape[0])  # (V,)
    return backward(dy, cache) / np.maximum(uses, 1)[:, None].astype(dy.dtype)


MUTANTS = {
    "embedding": {
        "repeated ids keep their last gradient only": overwritten,
        "gradients go to the next row": next_row,
        "the mean over an id's uses instead of their sum": mean_over_uses,
        "wrong sign": negated(),
        "dy not used": ones_cotangent,
        "scaled by 1.001": scaled(),
        "one element scaled by 1.001": one_element_wrong(),
    }
}
