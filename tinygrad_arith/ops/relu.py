"""The rectifier: max(x, 0)."""

from typing import Any, NamedTuple

from ..backend import array_module
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes


class ReluCache(NamedTuple):
    """Saved by reference: the output, whose sign says where the input was positive. No new memory."""

    y: Any  # (...)


def relu_forward(x):  # x (...)
    """Returns y (...) and the cache."""
    xp = array_module(x)
    y = xp.maximum(x, 0.0)  # (...)
    return y, ReluCache(y)


def relu_backward(dy, cache):  # dy (...)
    """Returns dx (...). At x = 0, where there is no derivative, it takes 0, as everyone does."""
    return dy * (cache.y > 0)  # (...)


def relu_shapes(x) -> OpShapes:
    """x (...) -> (...)."""
    return OpShapes(ArraySpec(x.shape, x.dtype), 0, flop=x.size, backward_flop=x.size)


RELU = Operation("relu", relu_forward, relu_backward, ("x",), relu_shapes, wide=False)
