"""Where `softmax` and `log_softmax` are checked."""

import numpy as np

from .case import Case, Cases


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
