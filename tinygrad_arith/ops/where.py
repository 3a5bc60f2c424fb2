"""A choice, element by element: y = a where the condition holds, else b."""

from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module
from .arithmetic import unbroadcast
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, ShapeError


class WhereCache(NamedTuple):
    """Saved: the condition, copied (bool, one byte an element), and the two shapes."""

    condition: Any
    a_shape: tuple[int, ...]
    b_shape: tuple[int, ...]


def where_forward(condition, a, b):  # shapes that broadcast; the condition bool, or numbers that are 0 or not
    """Returns y (the broadcast shape) and the cache."""
    xp = array_module(a, b)
    condition = xp.array(condition, dtype=bool)
    return xp.where(condition, a, b), WhereCache(condition, a.shape, b.shape)


def where_backward(dy, cache):
    """Returns da, db. The condition has no gradient: y jumps where it changes."""
    xp = array_module(dy)
    condition, a_shape, b_shape = cache
    # forward: an element of y is one of a or one of b, and its gradient is that one's. Chosen, not multiplied by 0 and
    # 1: 0 times an infinite gradient would be NaN.
    da, db = xp.where(condition, dy, 0.0), xp.where(condition, 0.0, dy)  # y's shape
    return unbroadcast(da, a_shape), unbroadcast(db, b_shape)


def where_shapes(condition, a, b) -> OpShapes:
    """Three shapes that broadcast -> the broadcast shape."""
    own = condition.shape if hasattr(condition, "shape") else np.shape(condition)  # of a list or a bool too
    shapes = {"condition": own, "a": a.shape, "b": b.shape}
    try:
        shape = np.broadcast_shapes(*shapes.values())
    except ValueError:
        told = ", ".join(f"{name} {tuple(one)}" for name, one in shapes.items())
        raise ShapeError(f"where: the shapes do not broadcast; got {told}") from None
    out = ArraySpec(shape, np.result_type(a.dtype, b.dtype))
    return OpShapes(out, out.size, flop=0, backward_flop=2 * out.size)


WHERE = Operation("where", where_forward, where_backward, ("a", "b"), where_shapes, arrays=("condition",), wide=False)
