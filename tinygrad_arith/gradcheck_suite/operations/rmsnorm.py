"""`rmsnorm`: where it is checked, and wrong backwards. Cache: normalized (..., C), rrms (..., 1), weight (C,)."""

import numpy as np

from ..case import Case, Cases
from ..mutant import Mutant, changed, negated, one_element_wrong, ones_cotangent, scaled, with_cache


def _rmsnorm(rng):
    x, weight = rng.normal(size=(2, 5, 3)), rng.normal(size=3)
    wide = rng.normal(size=(2, 3, 7)), rng.normal(size=7)
    return (
        Case("(B, T, C)", (x, weight), sizes={"B": 2, "T": 5, "C": 3}),
        Case("wide rows far from 0", (wide[0] * 3 + 10, wide[1])),
        Case("large eps", wide, options={"eps": 0.5}),
        Case("one position", (wide[0][0, 0], wide[1])),
        Case("strided views", (rng.normal(size=(7, 3, 2)).T, rng.normal(size=14)[::2])),
        Case("empty batch", (x[:0], weight), zero=("weight",), allow=("empty",)),
    )


CASES: dict[str, Cases] = {"rmsnorm": _rmsnorm}


def _dx(dy, cache, mean=0.0, mean_square=1.0, weight=True, axis=-1):
    """dx with each of its terms optional; `mean` adds layernorm's term, which has no business here."""
    normalized, rrms = cache.normalized, cache.rrms
    dnormalized = dy * cache.weight if weight else dy  # (..., C)
    through_mean = dnormalized.mean(axis=axis, keepdims=True)
    through_mean_square = (dnormalized * normalized).mean(axis=axis, keepdims=True)
    return rrms * (dnormalized - mean * through_mean - mean_square * normalized * through_mean_square)  # (..., C)


def _wrong_dx(**slips):
    return lambda backward, dy, cache: (_dx(dy, cache, **slips), backward(dy, cache)[1])


def _first_axis(backward, dy, cache):
    """The mean of dx over the first axis; one position alone has only its channels."""
    return _wrong_dx(axis=0)(backward, dy, cache) if dy.size else backward(dy, cache)


def _sum_for_mean(backward, dy, cache):
    """The sum over the channels in the place of their mean."""
    return _wrong_dx(mean_square=float(dy.shape[-1]))(backward, dy, cache)


def _weight_without_normalized(backward, dy, cache):
    return backward(dy, cache)[0], dy.sum(axis=tuple(range(dy.ndim - 1)))


def _weight_of_last_row(backward, dy, cache):
    dx, dweight = backward(dy, cache)
    rows = dy.reshape(-1, dy.shape[-1])  # (N, C)
    return dx, rows[-1] * cache.normalized.reshape(rows.shape)[-1] if len(rows) else dweight


MUTANTS: dict[str, dict[str, Mutant]] = {
    "rmsnorm": {
        "dx without the mean-square term": _wrong_dx(mean_square=0.0),
        "dx with the mean-square term's sign flipped": _wrong_dx(mean_square=-1.0),
        "dx with layernorm's mean term": _wrong_dx(mean=1.0),
        "dx without the weight": _wrong_dx(weight=False),
        "dx without the root mean square": with_cache(rrms=np.ones_like),
        "dx with the root mean square squared": with_cache(rrms=lambda rrms: rrms * rrms),
        "dx with the mean over the first axis": _first_axis,
        "dx with the sum in the place of the mean": _sum_for_mean,
        "dweight without the normalised input": _weight_without_normalized,
        "dweight of the last row only": _weight_of_last_row,
        "dx with the wrong sign": negated(0),
        "dx is zero": changed(0, np.zeros_like),
        "dy not used": ones_cotangent,
        "dweight scaled by 1.001": scaled(1),
        "one element of dx scaled by 1.001": one_element_wrong(0),
    }
}
