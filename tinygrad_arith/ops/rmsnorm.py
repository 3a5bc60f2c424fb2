"""Root-mean-square normalisation: each position's channels divided by their root mean square, then scaled.

    y = weight * x / sqrt(mean(x²) + eps)

Layer normalisation without the mean and without the bias. Zhang, Sennrich: "Root Mean Square Layer Normalization",
2019, arXiv 1910.07467, equation 4 (eps, which keeps rows of zeros finite, is everywhere since).
"""

from typing import Any, NamedTuple

from ..backend import array_module
from .numbers import require_not_negative
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, require
from .sums import sum_over


class RMSNormCache(NamedTuple):
    """Saved: the normalised input (as large as x) and one number a position."""

    normalized: Any  # (..., C)
    rrms: Any  # (..., 1), 1 / sqrt(mean(x²) + eps)
    weight: Any  # (C,)


def rmsnorm_forward(x, weight, eps=1e-5):  # x (..., C); weight (C,)
    """Normalises the last axis. Returns y (..., C) and the cache."""
    xp = array_module(x)
    mean_square = (x * x).mean(axis=-1, keepdims=True)  # (..., 1)
    rrms = 1.0 / xp.sqrt(mean_square + eps)  # (..., 1)
    normalized = x * rrms  # (..., C)
    y = normalized * weight  # (..., C)
    return y, RMSNormCache(normalized, rrms, weight)


def rmsnorm_backward(dy, cache):  # dy (..., C)
    """Returns dx (..., C), dweight (C,)."""
    normalized, rrms, weight = cache
    rows = tuple(range(dy.ndim - 1))  # every axis but the channels

    # forward: y = normalized * weight
    dweight = sum_over(dy * normalized, rows)  # (C,)
    dnormalized = dy * weight  # (..., C)

    # forward: normalized = x * rrms, where rrms depends on every channel of x.
    # The Jacobian of one position is rrms * (I - normalized normalizedᵀ / C): it takes out of dnormalized its
    # component along normalized (the path through the mean square).
    through_mean_square = (dnormalized * normalized).mean(axis=-1, keepdims=True)  # (..., 1)
    dx = rrms * (dnormalized - normalized * through_mean_square)  # (..., C)
    return dx, dweight


def rmsnorm_shapes(x, weight, eps=1e-5) -> OpShapes:
    """x (..., C), weight (C,) -> (..., C)."""
    fits = x.ndim >= 1 and weight.shape == x.shape[-1:]
    require(fits, "rmsnorm", "weight must be (C,) for x (..., C)", x=x, weight=weight)
    require_not_negative("rmsnorm", eps=eps)
    out = ArraySpec(x.shape, x.dtype)
    positions = x.size // max(x.shape[-1], 1)
    return OpShapes(out, out.nbytes + positions * out.dtype.itemsize, flop=4 * x.size, backward_flop=8 * x.size)


RMSNORM = Operation("rmsnorm", rmsnorm_forward, rmsnorm_backward, ("x", "weight"), rmsnorm_shapes)
