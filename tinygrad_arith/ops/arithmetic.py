"""Element-wise arithmetic with broadcasting, as a `Tensor`'s operators use it.

Broadcasting copies an input along axes it lacks or has with size 1; the backward therefore sums over those axes.
"""

from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module
from .float32 import log
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, ShapeError, describe, is_floating
from .sums import sum_over


def unbroadcast(dy, shape):  # dy: any shape that `shape` broadcasts to
    """Sums `dy` over the axes along which an array of the given shape was broadcast. Returns an array of that shape."""
    added = tuple(range(dy.ndim - len(shape)))
    dy = sum_over(dy, added) if added else dy
    stretched = tuple(axis for axis, size in enumerate(shape) if size == 1 and dy.shape[axis] != 1)
    return sum_over(dy, stretched, keepdims=True) if stretched else dy


class ShapesCache(NamedTuple):
    """Saved: the two shapes."""

    a_shape: tuple[int, ...]
    b_shape: tuple[int, ...]


class FactorsCache(NamedTuple):
    """Saved by reference: both inputs."""

    a: Any
    b: Any


class PowerCache(NamedTuple):
    """Saved by reference: the base; the exponent is a plain number."""

    x: Any
    exponent: float


class PowersCache(NamedTuple):
    """Saved by reference: both inputs and the output."""

    a: Any
    b: Any
    y: Any


def add_forward(a, b):  # a, b: shapes that broadcast
    """Returns a + b and the cache."""
    return a + b, ShapesCache(a.shape, b.shape)


def add_backward(dy, cache):
    """Returns da, db."""
    return unbroadcast(dy, cache.a_shape), unbroadcast(dy, cache.b_shape)


def subtract_forward(a, b):  # a, b: shapes that broadcast
    """Returns a - b and the cache."""
    return a - b, ShapesCache(a.shape, b.shape)


def subtract_backward(dy, cache):
    """Returns da, db."""
    return unbroadcast(dy, cache.a_shape), unbroadcast(-dy, cache.b_shape)


def multiply_forward(a, b):  # a, b: shapes that broadcast
    """Returns a * b and the cache."""
    return a * b, FactorsCache(a, b)


def multiply_backward(dy, cache):
    """Returns da, db."""
    a, b = cache
    return unbroadcast(dy * b, a.shape), unbroadcast(dy * a, b.shape)


def divide_forward(a, b):  # a, b: shapes that broadcast
    """Returns a / b and the cache."""
    return a / b, FactorsCache(a, b)


def divide_backward(dy, cache):
    """Returns da, db."""
    a, b = cache
    da = dy / b  # y's shape
    # forward: y = a / b, so dy/db = -a / b². Two divisions: b² leaves float32 where b is 1e20 or 1e-20
    return unbroadcast(da, a.shape), unbroadcast(-da * (a / b), b.shape)


def power_forward(x, exponent):  # x (...); exponent: a plain number
    """Returns x ** exponent and the cache."""
    exponent = exponent.item() if isinstance(exponent, np.generic) else exponent  # a NumPy number would widen
    y = x**exponent  # (...)
    return (y.astype(x.dtype, copy=False) if is_floating(x.dtype) else y), PowerCache(x, exponent)


def power_backward(dy, cache):
    """Returns dx (...)."""
    x, exponent = cache
    return dy * power_slope(x, exponent)  # (...)


def power_slope(x, exponent):  # x (...); exponent: a plain number
    """The derivative of x ** exponent by x, (...)."""
    if exponent == 0:  # 0 * x ** -1 is NaN at x = 0, but a constant has the derivative 0 everywhere
        return array_module(x).zeros_like(x)
    if 0 < exponent < 1:  # the same as below but for the root at -0.0, where the slope is that of `sqrt`: 1 / -0.0
        return exponent / x ** (1 - exponent)
    return exponent * x ** (exponent - 1)


def elementwise_power_forward(a, b):  # a, b: shapes that broadcast
    """Returns a ** b and the cache."""
    y = a**b  # the broadcast shape
    return y, PowersCache(a, b, y)


def elementwise_power_backward(dy, cache):
    """Returns da, db."""
    a, b, y = cache
    xp = array_module(dy)
    # forward: y = a ** b = exp(b log a). By a: b a ** (b - 1), where 0 * a ** -1 stands for the derivative 0
    da = dy * (b * a ** xp.where(b == 0, 0.0, b - 1))  # y's shape
    # By b: y log a. Where a is 0, y stays 0 (or 1) to the right of b; where a is negative, there is none: NaN
    with np.errstate(all="ignore"):
        logarithm = log(a)  # a's shape
    logarithm = xp.where((a == 0) & (b >= 0), 0.0, logarithm)  # y's shape
    db = dy * (y * logarithm)  # y's shape
    return unbroadcast(da, a.shape), unbroadcast(db, b.shape)


def matmul_forward(a, b):  # a (..., M, K) or (K,); b (..., K, N) or (K,)
    """Matrix product; leading axes broadcast, a 1-D array is a row on the left and a column on the right."""
    return a @ b, FactorsCache(a, b)


def matmul_backward(dy, cache):
    """Returns da, db, each in the shape of its input."""
    a, b = cache
    xp = array_module(dy)
    rows = a if a.ndim > 1 else a[None, :]  # (..., M, K)
    columns = b if b.ndim > 1 else b[:, None]  # (..., K, N)
    # forward: y[m, n] = sum_k a[m, k] b[k, n]; a 1-D input's missing axis is put back into dy
    if b.ndim == 1:
        dy = xp.expand_dims(dy, -1)  # (..., M, 1)
    if a.ndim == 1:
        dy = xp.expand_dims(dy, -2)  # (..., 1, N)
    da = unbroadcast(dy @ columns.swapaxes(-1, -2), rows.shape)  # (..., M, K)
    db = unbroadcast(rows.swapaxes(-1, -2) @ dy, columns.shape)  # (..., K, N)
    return da.reshape(a.shape), db.reshape(b.shape)


def broadcast_shapes(operation, floating=False):
    """The shape rule of an element-wise operation on two arrays; floating: of integers it makes float64."""

    def rule(a, b) -> OpShapes:
        try:
            shape = np.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            raise ShapeError(f"{operation}: the shapes do not broadcast; got {describe(a=a, b=b)}") from None
        dtype = np.result_type(a.dtype, b.dtype)
        out = ArraySpec(shape, np.dtype(np.float64) if floating and dtype.kind in "biu" else dtype)
        return OpShapes(out, 0, flop=out.size, backward_flop=2 * out.size)

    return rule


def subtract_shapes(a, b) -> OpShapes:
    """As the others. Bools minus a number are refused, as NumPy refuses bools minus bools: `~` turns a mask round."""
    if "b" in (a.dtype.kind, b.dtype.kind) and 0 in (a.ndim, b.ndim):
        raise TypeError(f"subtract: bools are no numbers here; got {a.dtype} minus {b.dtype}; multiply them by 1 first")
    return broadcast_shapes("subtract")(a, b)


def power_shapes(x, exponent) -> OpShapes:
    """x (...) -> (...)."""
    dtype = x.dtype if is_floating(x.dtype) else np.result_type(x.dtype, exponent)
    return OpShapes(ArraySpec(x.shape, dtype), 0, flop=x.size, backward_flop=3 * x.size)


def matmul_shapes(a, b) -> OpShapes:
    """a (..., M, K), b (..., K, N) -> (..., M, N)."""
    rows = a.shape if a.ndim > 1 else (1, *a.shape)
    columns = b.shape if b.ndim > 1 else (*b.shape, 1)
    wrong = ShapeError(f"matmul: the inner sizes must agree and the leading axes broadcast; got {describe(a=a, b=b)}")
    if a.ndim == 0 or b.ndim == 0 or rows[-1] != columns[-2]:
        raise wrong
    try:
        leading = np.broadcast_shapes(rows[:-2], columns[:-2])
    except ValueError:
        raise wrong from None
    full = ArraySpec((*leading, rows[-2], columns[-1]), np.result_type(a.dtype, b.dtype))
    shape = (*leading, *rows[-2 : -1 if a.ndim > 1 else -2], *(columns[-1:] if b.ndim > 1 else ()))
    flop = 2 * full.size * rows[-1]
    return OpShapes(ArraySpec(shape, full.dtype), 0, flop=flop, backward_flop=2 * flop)


ADD = Operation("add", add_forward, add_backward, ("a", "b"), broadcast_shapes("add"))
SUBTRACT = Operation("subtract", subtract_forward, subtract_backward, ("a", "b"), subtract_shapes)
MULTIPLY = Operation("multiply", multiply_forward, multiply_backward, ("a", "b"), broadcast_shapes("multiply"))
DIVIDE = Operation("divide", divide_forward, divide_backward, ("a", "b"), broadcast_shapes("divide", floating=True))
POWER = Operation("power", power_forward, power_backward, ("x",), power_shapes)
ELEMENTWISE_POWER = Operation(
    "elementwise_power",
    elementwise_power_forward,
    elementwise_power_backward,
    ("a", "b"),
    broadcast_shapes("elementwise_power"),
)
MATMUL = Operation("matmul", matmul_forward, matmul_backward, ("a", "b"), matmul_shapes)
