"""`negative`, `exp`, `log`, `sqrt`, `tanh`: where they are checked, and wrong backwards.

Cache: `saved`, input or output, whichever the derivative is written in.
"""

import numpy as np

from ..case import Case, Cases
from ..mutant import ENDINGS, Mutant


def _elementwise(rng):
    return (
        Case("(B, T, C)", (rng.uniform(0.3, 2.5, (2, 5, 3)),)),
        Case("one number", (np.array(0.7),)),
        Case("strided view", (rng.uniform(0.3, 2.5, (3, 10, 2)).T[:, ::-2],)),
        Case("empty batch", (rng.uniform(0.3, 2.5, (0, 5, 3)),), allow=("empty",)),
    )


CASES: dict[str, Cases] = {
    "negative": _elementwise,
    "exp": _elementwise,
    "log": _elementwise,
    "sqrt": _elementwise,
    "tanh": _elementwise,
}


MUTANTS: dict[str, dict[str, Mutant]] = {
    "negative": {"passes dy unchanged": lambda backward, dy, cache: dy.copy(), **ENDINGS},
    "exp": {
        "without the factor exp(x)": lambda backward, dy, cache: dy.copy(),
        "divided by exp(x)": lambda backward, dy, cache: dy / cache.saved,
        "exp of the output": lambda backward, dy, cache: dy * np.exp(cache.saved),
        **ENDINGS,
    },
    "log": {
        "times x": lambda backward, dy, cache: dy * cache.saved,
        "without 1/x": lambda backward, dy, cache: dy.copy(),
        "1/x squared": lambda backward, dy, cache: dy / cache.saved**2,
        **ENDINGS,
    },
    "sqrt": {
        "without the 1/2": lambda backward, dy, cache: dy / cache.saved,
        "times the root": lambda backward, dy, cache: 0.5 * dy * cache.saved,
        "divided by x, not its root": lambda backward, dy, cache: 0.5 * dy / cache.saved**2,
        **ENDINGS,
    },
    "tanh": {
        "1 - y": lambda backward, dy, cache: dy * (1.0 - cache.saved),
        "1 + y squared": lambda backward, dy, cache: dy * (1.0 + cache.saved**2),
        "y squared": lambda backward, dy, cache: dy * cache.saved**2,
        **ENDINGS,
    },
}
