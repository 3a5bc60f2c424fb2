"""`cross_entropy_sum` and `cross_entropy`: where they are checked, and wrong backwards.

Caches: `cross_entropy_sum` logits (..., V), logsumexp (..., 1), targets (...), weights (...); `cross_entropy` the
first one as `sum_cache`, and count.
"""

import numpy as np

from ..case import Case, Cases
from ..mutant import ENDINGS, Mutant


def _cross_entropy(rng):
    logits = rng.normal(size=(2, 5, 7))  # (B, T, V)
    targets = np.array([[3, -1, 0, 6, 6], [-1, 2, 2, -1, 5]])  # (B, T)
    return (
        Case("ignored targets", (logits, targets), sizes={"B": 2, "T": 5, "V": 7, "counted": 7}),
        Case("all counted", (logits, np.abs(targets))),
        Case("large logits", (8 * logits, targets)),
        Case("rows", (logits[0], targets[0])),
        Case("another ignored id", (logits, np.abs(targets)), {"ignore_index": 6}),
        Case("strided view", (rng.normal(size=(7, 5, 4)).T[::2], targets)),
        Case("nothing counted", (logits, np.full((2, 5), -1)), zero=("logits",)),
        Case("empty batch", (logits[:0], targets[:0]), allow=("empty",)),
    )


def _cross_entropy_sum(rng):
    weighted = Case(
        "weights", (rng.normal(size=(2, 5, 7)), np.array([[3, -1, 0, 6, 6], [1, 2, 2, -1, 5]])),
        {"weights": rng.uniform(0.2, 2.0, (2, 5))},
    )  # fmt: skip
    return (*_cross_entropy(rng), weighted)


CASES: dict[str, Cases] = {"cross_entropy_sum": _cross_entropy_sum, "cross_entropy": _cross_entropy}


def _parts(cache):
    """p (..., V), one-hot targets (..., V), weights (..., 1)."""
    probabilities = np.exp(cache.logits - cache.logsumexp)
    return probabilities, np.arange(cache.logits.shape[-1]) == cache.targets[..., None], cache.weights[..., None]


def _no_one_hot(dy, cache):
    p, _, weights = _parts(cache)
    return dy * weights * p


def _no_softmax(dy, cache):
    _, one_hot, weights = _parts(cache)
    return dy * weights * (0.0 - one_hot)


def _ignored_counted(dy, cache):
    p, one_hot, _ = _parts(cache)
    return dy * (p - one_hot)


def _next_target(dy, cache):
    p, one_hot, weights = _parts(cache)
    return dy * weights * (p - np.roll(one_hot, 1, axis=-1))


def _probability_of_target(dy, cache):
    """The derivative of -p[t] instead of -log p[t]: a factor p[t] too many."""
    p, one_hot, weights = _parts(cache)
    return dy * weights * (p - one_hot) * (p * one_hot).sum(axis=-1, keepdims=True)


def _softmax_over_rows(dy, cache):
    """The softmax over the first axis instead of the last."""
    _, one_hot, weights = _parts(cache)
    if not cache.logits.shape[0]:
        return np.zeros_like(cache.logits)
    exponentials = np.exp(cache.logits - cache.logits.max(axis=0))
    return dy * weights * (exponentials / exponentials.sum(axis=0) - one_hot)


def _no_normaliser(dy, cache):
    """exp(z) without the division by its sum."""
    _, one_hot, weights = _parts(cache)
    return dy * weights * (np.exp(np.minimum(cache.logits, 50.0)) - one_hot)


def _mean(dy, cache):
    """Divides by the number of rows, which the forward does not."""
    p, one_hot, weights = _parts(cache)
    return dy * weights * (p - one_hot) / max(1, cache.targets.size)


_SLIPS = {
    "without the one-hot target": _no_one_hot,
    "without the softmax": _no_softmax,
    "ignored targets counted, weights not used": _ignored_counted,
    "one-hot at the token after the target": _next_target,
    "times p[target]: the derivative of p, not of log p": _probability_of_target,
    "softmax over the first axis": _softmax_over_rows,
    "exp(logits) not normalised": _no_normaliser,
}


def _of_sum(slip):
    return lambda backward, dy, cache: slip(dy, cache).astype(cache.logits.dtype)


def _of_mean(slip):
    return lambda backward, dy, cache: slip(dy / cache.count, cache.sum_cache).astype(cache.sum_cache.logits.dtype)


def _every_row(backward, dy, cache):
    """Divides by all rows instead of the counted ones."""
    return backward(dy * cache.count / max(1, cache.sum_cache.targets.size), cache)


MUTANTS: dict[str, dict[str, Mutant]] = {
    "cross_entropy_sum": {
        **{name: _of_sum(slip) for name, slip in _SLIPS.items()},
        "divided by the number of rows": _of_sum(_mean),
        **ENDINGS,
    },
    "cross_entropy": {
        **{name: _of_mean(slip) for name, slip in _SLIPS.items()},
        "not divided by the count": lambda backward, dy, cache: backward(dy * cache.count, cache),
        "divided by all rows, ignored ones included": _every_row,
        **ENDINGS,
    },
}
