"""`relu`: where it is checked, and wrong backwards. Cache: y."""

import numpy as np

from ..case import Case, Cases
from ..mutant import ENDINGS, Mutant


def _relu(rng):
    return (
        Case("(B, T, C)", (2 * rng.normal(size=(2, 5, 3)),)),
        Case("large values", (np.array([[-30.0, -6.0, -2.5], [0.7, 5.5, 40.0]]),)),
        Case("strided view", (rng.normal(size=(3, 10, 2)).T[:, ::-2],)),
        Case("empty batch", (rng.normal(size=(0, 5, 3)),), allow=("empty",)),
    )


CASES: dict[str, Cases] = {"relu": _relu}


MUTANTS: dict[str, dict[str, Mutant]] = {
    "relu": {
        "passes everything": lambda backward, dy, cache: dy.copy(),
        "passes the negative side": lambda backward, dy, cache: dy * (cache.y <= 0),
        "times the output instead of its sign": lambda backward, dy, cache: dy * cache.y,
        "leaks 0.001 on the negative side": lambda backward, dy, cache: dy * np.where(cache.y > 0, 1.0, 0.001),
        **ENDINGS,
    }
}
