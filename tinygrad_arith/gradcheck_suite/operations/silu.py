"""`silu`: where it is checked, and wrong backwards. Cache: x."""

import numpy as np

from ..case import Case, Cases
from ..mutant import ENDINGS, Mutant


def _silu(rng):
    return (
        Case("(B, T, C)", (2 * rng.normal(size=(2, 5, 3)),)),
        Case("large values", (np.array([[-30.0, -6.0, -2.5], [0.7, 5.5, 40.0]]),)),
        Case("strided view", (rng.normal(size=(3, 10, 2)).T[:, ::-2],)),
        Case("empty batch", (rng.normal(size=(0, 5, 3)),), allow=("empty",)),
    )


CASES: dict[str, Cases] = {"silu": _silu}


def _logistic(x):
    return np.exp(np.minimum(x, 0.0)) / (1.0 + np.exp(-np.abs(x)))


def _slope(slope):
    """A mutant with another slope, a function of x and of its logistic function."""
    return lambda backward, dy, cache: dy * slope(cache.x, _logistic(cache.x))


MUTANTS: dict[str, dict[str, Mutant]] = {
    "silu": {
        "without the derivative of the logistic function": _slope(lambda x, s: s),
        "the derivative of the logistic function without its factor x": _slope(lambda x, s: s + s * (1.0 - s)),
        "s' = s": _slope(lambda x, s: s + x * s),
        "s' = 1 - s": _slope(lambda x, s: s + x * (1.0 - s)),
        "the slope of x σ(1.702 x), which is nearly GELU": _slope(
            lambda x, s: _logistic(1.702 * x) + 1.702 * x * _logistic(1.702 * x) * _logistic(-1.702 * x)
        ),
        **ENDINGS,
    }
}
