"""Softmax and its logarithm, over one axis or several.

    softmax:      y[i] = exp(x[i]) / sum_j exp(x[j])
    log_softmax:  y[i] = x[i] - log sum_j exp(x[j])

The largest x is subtracted first: it cancels, and without it exp would overflow. The logarithm has a form of its own,
because log(softmax(x)) is log(0) where x lies far below the largest. (Bridle 1990,
https://doi.org/10.1007/978-3-642-76153-9_28; docs/softmax.md has the derivation.)
"""

from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module
from .reductions import normalize_axes
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, is_floating
from .sums import sum_over


class SoftmaxCache(NamedTuple):
    """Saved by reference: the output. x is not needed."""

    y: Any  # (...)
    axes: tuple[int, ...]


class LogSoftmaxCache(NamedTuple):
    """Saved by reference: the output, whose exp is the softmax. x is not needed."""

    y: Any  # (...)
    axes: tuple[int, ...]


def softmax_forward(x, axis=-1):  # x (...)
    """Softmax over `axis`: an int, several, or None (all). Returns y (...) and the cache."""
    axes = normalize_axes(x, axis)
    weights = array_module(x).exp(below_largest(x, axes))  # (...)
    y = weights / sum_over(weights, axes, keepdims=True)  # (...)
    return y, SoftmaxCache(y, axes)


def softmax_backward(dy, cache):  # dy (...)
    """Returns dx (...)."""
    y, axes = cache
    # forward: y = softmax(x), whose Jacobian is diag(y) - y yᵀ: dx[i] = y[i] (dy[i] - sum_j y[j] dy[j])
    return y * (dy - sum_over(y * dy, axes, keepdims=True))  # (...)


def log_softmax_forward(x, axis=-1):  # x (...)
    """The logarithm of the softmax over `axis`: an int, several, or None (all). Returns y (...) and the cache."""
    axes = normalize_axes(x, axis)
    xp = array_module(x)
    lowered = below_largest(x, axes)  # (...)
    total = sum_over(xp.exp(lowered), axes, keepdims=True)  # x's shape with the axes 1
    y = lowered - xp.log(total) if x.size else lowered  # (...), without log(0) where there is nothing to add up
    return y, LogSoftmaxCache(y, axes)


def log_softmax_backward(dy, cache):  # dy (...)
    """Returns dx (...)."""
    xp = array_module(dy)
    y, axes = cache
    # forward: y[i] = x[i] - log sum_j exp(x[j]). The second term stands in every y[i]; by x[j] it is softmax(x)[j]
    return dy - xp.exp(y) * sum_over(dy, axes, keepdims=True)  # (...)


def below_largest(x, axes):  # x (...)
    """x minus its largest along the axes: 0 at most. An array without elements has no largest."""
    return x - x.max(axis=axes, keepdims=True) if x.size else x


def softmax_shapes(x, axis=-1) -> OpShapes:
    """x (...) -> (...)."""
    normalize_axes(x, axis)
    out = ArraySpec(tuple(x.shape), x.dtype if is_floating(x.dtype) else np.dtype(np.float64))
    return OpShapes(out, 0, flop=5 * x.size, backward_flop=4 * x.size)


SOFTMAX = Operation("softmax", softmax_forward, softmax_backward, ("x",), softmax_shapes)
LOG_SOFTMAX = Operation("log_softmax", log_softmax_forward, log_softmax_backward, ("x",), softmax_shapes)
