"""`dropout`: where it is checked, and wrong backwards. Cache: rate, key."""

import numpy as np

from ..case import Case, Cases
from ..mutant import ENDINGS, Mutant


def _dropout(rng, key):
    x = rng.normal(size=(2, 5, 3))
    return (
        Case("rate 0.4", (x,), {"rate": 0.4, "key": key}),
        Case("rate 0", (x,), {"rate": 0.0, "key": key}),
        Case("strided view", (rng.normal(size=(3, 10, 2)).T[:, ::2],), {"rate": 0.25, "key": key}),
        Case("empty batch", (x[:0],), {"rate": 0.4, "key": key}, allow=("empty",)),
    )


CASES: dict[str, Cases] = {"dropout": _dropout}


def _rolled_mask(backward, dy, cache):
    """The backward draws another mask than the forward."""
    mask = backward(np.ones_like(dy), cache)
    return dy * np.roll(mask, 1)


MUTANTS: dict[str, dict[str, Mutant]] = {
    "dropout": {
        "without the mask": lambda backward, dy, cache: dy.copy(),
        "the mask without its scale": lambda backward, dy, cache: backward(dy, cache) * (1.0 - cache.rate),
        "the scale without the mask": lambda backward, dy, cache: dy / (1.0 - cache.rate),
        "the inverse mask": lambda backward, dy, cache: dy * (backward(dy * 0 + 1, cache) == 0),
        "another mask than the forward's": _rolled_mask,
        **ENDINGS,
    }
}
