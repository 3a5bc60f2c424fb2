"""`embedding`: where it is checked, and wrong backwards. Cache: ids (...) int, table_shape (V, C)."""

import numpy as np

from ..case import Case, Cases
from ..mutant import ENDINGS, Mutant


def _embedding(rng):
    table = rng.normal(size=(7, 3))  # (V, C)
    ids = np.array([[0, 5, 5, 2], [5, 6, 0, 1]])  # (B, T): 5 three times, 0 twice, 3 and 4 never
    return (
        Case("repeated ids", (ids, table)),
        Case("one id everywhere", (np.full((2, 4), 3), table)),
        Case("positions, 1-D", (np.arange(4), table)),
        Case("strided table", (ids, rng.normal(size=(14, 6))[::-2, ::2])),
        Case("no ids", (ids[:0], table), zero=("table",), allow=("empty",)),
    )


CASES: dict[str, Cases] = {"embedding": _embedding}


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


MUTANTS: dict[str, dict[str, Mutant]] = {
    "embedding": {
        "repeated ids keep their last gradient only": overwritten,
        "gradients go to the next row": next_row,
        "the mean over an id's uses instead of their sum": mean_over_uses,
        **ENDINGS,
    }
}
