"""Reshape and transpose: the values stay, their places change."""

from math import prod
from typing import NamedTuple

import numpy as np

from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, ShapeError


class ReshapeCache(NamedTuple):
    """Saved: the input's shape."""

    shape: tuple[int, ...]


class TransposeCache(NamedTuple):
    """Saved: where each axis went."""

    axes: tuple[int, ...]


def reshape_forward(x, shape):
    """Returns x in another shape of the same size (one size may be -1) and the cache."""
    return x.reshape(shape), ReshapeCache(x.shape)


def reshape_backward(dy, cache):
    """Returns dx in x's shape."""
    return dy.reshape(cache.shape)


def transpose_forward(x, axes=None):
    """Returns x with its axes in another order (default: reversed) and the cache."""
    axes = tuple(reversed(range(x.ndim))) if axes is None else tuple(axis % x.ndim for axis in axes)
    return x.transpose(axes), TransposeCache(axes)


def transpose_backward(dy, cache):
    """Returns dx in x's shape: axis i of y was axis axes[i] of x, so each goes back to where it came from."""
    inverse = tuple(int(axis) for axis in np.argsort(cache.axes))
    return dy.transpose(inverse)


def reshape_shapes(x, shape) -> OpShapes:
    """x (...) -> the given shape."""
    sizes = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    known = prod(size for size in sizes if size != -1)
    if sizes.count(-1) == 1 and known and x.size % known == 0:
        sizes = tuple(x.size // known if size == -1 else size for size in sizes)
    if min(sizes, default=0) < 0 or prod(sizes) != x.size:
        raise ShapeError(f"reshape: x {tuple(x.shape)} has {x.size} elements, which do not fill {sizes}")
    return OpShapes(ArraySpec(sizes, x.dtype), 0, flop=0, backward_flop=0)


def transpose_shapes(x, axes=None) -> OpShapes:
    """x (...) -> its axes in the given order."""
    order = tuple(reversed(range(x.ndim))) if axes is None else tuple(axes)
    if sorted(axis % x.ndim if -x.ndim <= axis < x.ndim else -1 for axis in order) != list(range(x.ndim)):
        raise ShapeError(f"transpose: axes {order} are not an order of the {x.ndim} axes of x {tuple(x.shape)}")
    return OpShapes(ArraySpec(tuple(x.shape[axis] for axis in order), x.dtype), 0, flop=0, backward_flop=0)


RESHAPE = Operation("reshape", reshape_forward, reshape_backward, ("x",), reshape_shapes, wide=False)
TRANSPOSE = Operation("transpose", transpose_forward, transpose_backward, ("x",), transpose_shapes, wide=False)
