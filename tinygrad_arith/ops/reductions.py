"""Sum, mean and max over some or all axes."""

from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, ShapeError, is_floating
from .sums import mean_over, sum_over


class ReductionCache(NamedTuple):
    """Saved: the input's shape and which axes went."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]


class MaxCache(NamedTuple):
    """Saved: where the maximum stands (bool, as large as x) and how often it occurs (as large as y)."""

    is_max: Any  # x's shape
    ties: Any  # x's shape with the reduced axes 1
    axes: tuple[int, ...]


def sum_forward(x, axis=None, keepdims=False):
    """Sum over `axis`: None (all), an int or several. Returns y and the cache."""
    axes = normalize_axes(x, axis)
    return sum_over(x, axes, keepdims), ReductionCache(x.shape, axes)


def sum_backward(dy, cache):
    """Returns dx in x's shape: every element of a sum gets the sum's gradient."""
    return spread(dy, cache)


def mean_forward(x, axis=None, keepdims=False):
    """Mean over `axis`: None (all), an int or several. Returns y and the cache."""
    axes = normalize_axes(x, axis)
    return mean_over(x, axes, keepdims), ReductionCache(x.shape, axes)


def mean_backward(dy, cache):
    """Returns dx in x's shape."""
    count = prod(cache.shape[axis] for axis in cache.axes)
    wide = np.result_type(np.float32, dy.dtype)  # float16 cannot hold a count above 65504
    return spread((dy.astype(wide) / count).astype(dy.dtype), cache)


def max_forward(x, axis=None, keepdims=False):
    """Largest value over `axis`: None (all), an int or several. Returns y and the cache."""
    axis = tuple(axis) if isinstance(axis, list) else axis
    axes = normalize_axes(x, axis)
    largest = x.max(axis=axes, keepdims=True)
    is_max = x == largest  # x's shape
    ties = is_max.sum(axis=axes, keepdims=True)
    return x.max(axis=axis, keepdims=keepdims), MaxCache(is_max, ties, axes)


def max_backward(dy, cache):
    """Returns dx in x's shape: the gradient goes to the largest element, in equal shares to ties."""
    share = cache.is_max.astype(dy.dtype) / cache.ties.astype(dy.dtype)  # x's shape
    return spread(dy, ReductionCache(cache.is_max.shape, cache.axes)) * share


def normalize_axes(x, axis) -> tuple[int, ...]:
    """`axis` as a tuple of non-negative axes; None means all. Raises `ShapeError` if x lacks one or one comes twice."""
    axes = tuple(range(x.ndim)) if axis is None else tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    if any(not -x.ndim <= a < x.ndim for a in axes):
        raise ShapeError(f"reduction: axis {axis} does not exist in x {tuple(x.shape)}")
    axes = tuple(a % x.ndim for a in axes)
    if len(set(axes)) < len(axes):
        raise ShapeError(f"reduction: axis {axis} names one of x's axes twice")
    return axes


def spread(dy, cache: ReductionCache):
    """Puts the reduced axes back with size 1 and copies dy along them, into a new array of the input's shape."""
    xp = array_module(dy)
    with_ones = tuple(1 if axis in cache.axes else size for axis, size in enumerate(cache.shape))
    return xp.broadcast_to(dy.reshape(with_ones), cache.shape).copy()


def reduction_shapes(x, axis=None, keepdims=False) -> OpShapes:
    """x (...) -> x's shape without the reduced axes, or with 1 in their place. Sums of integers are wide ones."""
    out = _reduced(x, axis, keepdims, x.dtype if is_floating(x.dtype) else np.zeros(1, x.dtype).sum().dtype)
    return OpShapes(out, 0, flop=x.size, backward_flop=x.size)


def mean_shapes(x, axis=None, keepdims=False) -> OpShapes:
    """As `reduction_shapes`; means of integers are float64."""
    out = _reduced(x, axis, keepdims, x.dtype if is_floating(x.dtype) else np.dtype(np.float64))
    return OpShapes(out, 0, flop=x.size, backward_flop=x.size)


def _reduced(x, axis, keepdims, dtype) -> ArraySpec:
    """The spec of what is left of x."""
    axes = normalize_axes(x, axis)
    kept = [(1 if index in axes else size) for index, size in enumerate(x.shape) if keepdims or index not in axes]
    return ArraySpec(tuple(kept), dtype)


def max_shapes(x, axis=None, keepdims=False) -> OpShapes:
    """As `reduction_shapes`, with the mask that max saves."""
    out = _reduced(x, axis, keepdims, x.dtype)
    return OpShapes(out, x.size, flop=2 * x.size, backward_flop=2 * x.size)


SUM = Operation("sum", sum_forward, sum_backward, ("x",), reduction_shapes)
MEAN = Operation("mean", mean_forward, mean_backward, ("x",), mean_shapes)
MAX = Operation("max", max_forward, max_backward, ("x",), max_shapes, wide=False)
