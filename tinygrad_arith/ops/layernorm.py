"""Layer normalisation: each position's channels to mean 0 and variance 1, then scaled and shifted.

    y = weight * (x - mean) / sqrt(variance + eps) + bias

Ba, Kiros, Hinton: "Layer Normalization", 2016, arXiv 1607.06450, equation 4 (biased variance, as everywhere since).
"""

from typing import Any, NamedTuple

from ..backend import array_module
from .numbers import require_not_negative
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, require
from .sums import sum_over


class LayerNormCache(NamedTuple):
    """Saved: the normalised input (as large as x) and one number a position. The mean is not needed again."""

    normalized: Any  # (..., C)
    rstd: Any  # (..., 1), 1 / sqrt(variance + eps)
    weight: Any  # (C,)


def layernorm_forward(x, weight, bias, eps=1e-5):  # x (..., C); weight, bias (C,)
    """Normalises the last axis. Returns y (..., C) and the cache."""
    xp = array_module(x)
    mean = x.mean(axis=-1, keepdims=True)  # (..., 1)
    centered = x - mean  # (..., C)
    variance = (centered * centered).mean(axis=-1, keepdims=True)  # (..., 1)
    rstd = 1.0 / xp.sqrt(variance + eps)  # (..., 1)
    normalized = centered * rstd  # (..., C)
    y = normalized * weight + bias  # (..., C)
    return y, LayerNormCache(normalized, rstd, weight)


def layernorm_backward(dy, cache):  # dy (..., C)
    """Returns dx (..., C), dweight (C,), dbias (C,)."""
    normalized, rstd, weight = cache
    rows = tuple(range(dy.ndim - 1))  # every axis but the channels

    # forward: y = normalized * weight + bias
    dbias = sum_over(dy, rows)  # (C,)
    dweight = sum_over(dy * normalized, rows)  # (C,)
    dnormalized = dy * weight  # (..., C)

    # forward: normalized = (x - mean) * rstd, where mean and rstd depend on every channel of x.
    # The Jacobian of one position is rstd * (I - 1/C - normalized normalizedᵀ / C): it takes out of dnormalized
    # its mean (the path through the mean) and its component along normalized (the path through the variance).
    through_mean = dnormalized.mean(axis=-1, keepdims=True)  # (..., 1)
    through_variance = (dnormalized * normalized).mean(axis=-1, keepdims=True)  # (..., 1)
    dx = rstd * (dnormalized - through_mean - normalized * through_variance)  # (..., C)
    return dx, dweight, dbias


def layernorm_shapes(x, weight, bias, eps=1e-5) -> OpShapes:
    """x (..., C), weight (C,), bias (C,) -> (..., C)."""
    fits = x.ndim >= 1 and weight.shape == bias.shape == x.shape[-1:]
    require(fits, "layernorm", "weight and bias must be (C,) for x (..., C)", x=x, weight=weight, bias=bias)
    require_not_negative("layernorm", eps=eps)
    out = ArraySpec(x.shape, x.dtype)
    positions = x.size // max(x.shape[-1], 1)
    return OpShapes(out, out.nbytes + positions * out.dtype.itemsize, flop=8 * x.size, backward_flop=11 * x.size)


LAYERNORM = Operation("layernorm", layernorm_forward, layernorm_backward, ("x", "weight", "bias"), layernorm_shapes)
