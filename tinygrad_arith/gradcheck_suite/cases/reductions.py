"""Where `sum`, `mean` and `max` are checked."""

import numpy as np

from .case import Case, Cases


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
