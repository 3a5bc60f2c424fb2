"""Element-wise functions of one array: negative, exp, log, sqrt, tanh."""

from typing import Any, NamedTuple

from ..backend import array_module
from .float32 import exp, log
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes


class NegativeCache(NamedTuple):
    """Nothing is needed."""


class ElementwiseCache(NamedTuple):
    """Saved by reference: the input or the output, whichever the derivative is written in."""

    saved: Any


def negative_forward(x):  # x (...)
    """Returns -x and the cache."""
    return -x, NegativeCache()


def negative_backward(dy, cache):
    """Returns dx (...)."""
    return -dy


def exp_forward(x):  # x (...)
    """Returns exp(x) and the cache: the output, which is its own derivative."""
    y = exp(x)  # (...)
    return y, ElementwiseCache(y)


def exp_backward(dy, cache):
    """Returns dx (...)."""
    return dy * cache.saved


def log_forward(x):  # x (...)
    """Returns the natural logarithm of x and the cache."""
    return log(x), ElementwiseCache(x)


def log_backward(dy, cache):
    """Returns dx (...)."""
    return dy / cache.saved


def sqrt_forward(x):  # x (...)
    """Returns the square root of x and the cache: the output, y; the derivative is 1 / (2 y)."""
    y = array_module(x).sqrt(x)  # (...)
    return y, ElementwiseCache(y)


def sqrt_backward(dy, cache):
    """Returns dx (...)."""
    return 0.5 * dy / cache.saved


def tanh_forward(x):  # x (...)
    """Returns tanh(x) and the cache: the output, y; the derivative is 1 - y²."""
    y = array_module(x).tanh(x)  # (...)
    return y, ElementwiseCache(y)


def tanh_backward(dy, cache):
    """Returns dx (...)."""
    # 1 - y² as (1 - y) (1 + y): near 1 the difference 1 - y is exact, and y² would be rounded first
    return dy * ((1.0 - cache.saved) * (1.0 + cache.saved))


def elementwise_shapes(x) -> OpShapes:
    """x (...) -> (...)."""
    return OpShapes(ArraySpec(x.shape, x.dtype), 0, flop=x.size, backward_flop=2 * x.size)


NEGATIVE = Operation("negative", negative_forward, negative_backward, ("x",), elementwise_shapes, wide=False)
EXP = Operation("exp", exp_forward, exp_backward, ("x",), elementwise_shapes, wide=False)
LOG = Operation("log", log_forward, log_backward, ("x",), elementwise_shapes, wide=False)
SQRT = Operation("sqrt", sqrt_forward, sqrt_backward, ("x",), elementwise_shapes, wide=False)
TANH = Operation("tanh", tanh_forward, tanh_backward, ("x",), elementwise_shapes, wide=False)
