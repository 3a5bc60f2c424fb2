"""Where `gelu`, `gelu_exact`, `relu` and `dropout` are checked."""

import numpy as np

from .case import Case, Cases


def _activation(rng):
    return (
        Case("(B, T, C)", (2 * rng.normal(size=(2, 5, 3)),)),
        Case("large values", (np.array([[-30.0, -6.0, -2.5], [0.7, 5.5, 40.0]]),)),
        Case("strided view", (rng.normal(size=(3, 10, 2)).T[:, ::-2],)),
        Case("empty batch", (rng.normal(size=(0, 5, 3)),), allow=("empty",)),
    )


def _dropout(rng, key):
    x = rng.normal(size=(2, 5, 3))
    return (
        Case("rate 0.4", (x,), {"rate": 0.4, "key": key}),
        Case("rate 0", (x,), {"rate": 0.0, "key": key}),
        Case("strided view", (rng.normal(size=(3, 10, 2)).T[:, ::2],), {"rate": 0.25, "key": key}),
        Case("empty batch", (x[:0],), {"rate": 0.4, "key": key}, allow=("empty",)),
    )


CASES: dict[str, Cases] = {"gelu": _activation, "gelu_exact": _activation, "relu": _activation, "dropout": _dropout}
