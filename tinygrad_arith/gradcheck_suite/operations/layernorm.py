"""`layernorm`: where it is checked, and wrong backwards. Cache: normalized (..., C), rstd (..., 1), weight (C,)."""

import numpy as np

from ..case import Case, Cases
from ..mutant import Mutant, changed, negated, one_element_wrong, ones_cotangent, scaled, with_cache


def _layernorm(rng):
    x, weight, bias = rng.normal(size=(2, 5, 3)), rng.normal(size=3), rng.normal(size=3)
    wide = rng.normal(size=(2, 3, 7)), rng.normal(size=7), rng.normal(size=7)
    return (
        Case("(B, T, C)", (x, weight, bias), sizes={"B": 2, "T": 5, "C": 3}),
        Case("wide rows far from 0", (wide[0] * 3 + 10, *wide[1:])),
        Case("large eps", wide, options={"eps": 0.5}),
        Case("one position", (wide[0][0, 0], *wide[1:])),
        Case("strided views", (rng.normal(size=(7, 3, 2)).T, rng.normal(size=14)[::2], rng.normal(size=7)[::-1])),
        Case("empty batch", (x[:0], weight, bias), zero=("weight", "bias"), allow=("empty",)),
    )


CASES: dict[str, Cases] = {"layernorm": _layernorm}


def _dx(dy, cache, mean=1.0, variance=1.0, weight=True, axis=-1):
    """dx with each of its terms optional."""
    normalized, rstd = cache.normalized, cache.rstd
    dnormalized = dy * cache.weight if weight else dy  # (..., C)
    through_mean = dnormalized.mean(axis=axis, keepdims=True)
    through_variance = (dnormalized * normalized).mean(axis=axis, keepdims=True)
    return rstd * (dnormalized - mean * through_mean - variance * normalized * through_variance)  # (..., C)


def _wrong_dx(**slips):
    return lambda backward, dy, cache: (_dx(dy, cache, **slips), *backward(dy, cache)[1:])


def _first_axis(backward, dy, cache):
    """The two means of dx over the first axis; one position alone has only its channels."""
    return _wrong_dx(axis=0)(backward, dy, cache) if dy.size else backward(dy, cache)


def _unbiased(backward, dy, cache):
    """The mean of the variance path divides by C - 1."""
    channels = dy.shape[-1]
    return _wrong_dx(variance=channels / (channels - 1))(backward, dy, cache)


def _weight_without_normalized(backward, dy, cache):
    dx, _, dbias = backward(dy, cache)
    return dx, dbias.copy(), dbias


def _parameters_of_last_row(backward, dy, cache):
    dx, dweight, dbias = backward(dy, cache)
    rows = dy.reshape(-1, dy.shape[-1])  # (N, C)
    if not len(rows):
        return dx, dweight, dbias
    return dx, rows[-1] * cache.normalized.reshape(rows.shape)[-1], rows[-1].copy()


MUTANTS: dict[str, dict[str, Mutant]] = {
    "layernorm": {
        "dx without the mean term": _wrong_dx(mean=0.0),
        "dx without the variance term": _wrong_dx(variance=0.0),
        "dx with the variance term's sign flipped": _wrong_dx(variance=-1.0),
        "dx without the weight": _wrong_dx(weight=False),
        "dx without rstd": with_cache(rstd=np.ones_like),
        "dx with rstd squared": with_cache(rstd=lambda rstd: rstd * rstd),
        "dx with means over the first axis": _first_axis,
        "dx with C - 1 in the variance term": _unbiased,
        "dweight without the normalised input": _weight_without_normalized,
        "dweight and dbias of the last row only": _parameters_of_last_row,
        "dx with the wrong sign": negated(0),
        "dx is zero": changed(0, np.zeros_like),
        "dy not used": ones_cotangent,
        "dweight scaled by 1.001": scaled(1),
        "one element of dx scaled by 1.001": one_element_wrong(0),
    }
}
