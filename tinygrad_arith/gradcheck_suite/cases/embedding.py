"""Where `embedding` is checked."""

import numpy as np

from .case import Case, Cases


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
