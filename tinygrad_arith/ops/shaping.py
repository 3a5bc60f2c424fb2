"""Reshape, transpose and indexing: the values stay, their places change."""

from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..backend import add_at, array_module, to_numpy
from .shapes import ArraySpec, MissingIndex, OpShapes, ShapeError


class ReshapeCache(NamedTuple):
    """Saved: the input's shape."""

    shape: tuple[int, ...]


class TransposeCache(NamedTuple):
    """Saved: where each axis went."""

    axes: tuple[int, ...]


class IndexCache(NamedTuple):
    """Saved: the input's shape and the index, its arrays copied: whose they are may change them."""

    shape: tuple[int, ...]
    index: Any


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


def index_forward(x, index):
    """Returns x[index], NumPy's basic or advanced indexing, and the cache."""
    index = own_index(index)
    return x[index], IndexCache(x.shape, index)


def index_backward(dy, cache):
    """Returns dx in x's shape. An element taken several times gets the sum of the gradients."""
    xp = array_module(dy)
    dx = xp.zeros(cache.shape, dtype=dy.dtype)
    add_at(dx, cache.index, dy)
    return dx


def own_index(index):
    """The index with its arrays and lists copied."""
    if isinstance(index, tuple):
        return tuple(own_index(part) for part in index)
    if isinstance(index, list):
        return np.array(index) if index else np.zeros(0, dtype=np.intp)  # NumPy makes floats of an empty list
    return index.copy() if hasattr(index, "copy") else index


def _on_host(index):
    """The index for a look at shapes: on a GPU masks are read, and other indices are not: zeros stand for them."""
    if isinstance(index, tuple):
        return tuple(_on_host(part) for part in index)
    if array_module(index) is np:
        return index
    return to_numpy(index) if index.dtype == bool else np.zeros(index.shape, dtype=np.intp)


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


def index_shapes(x, index) -> OpShapes:
    """x (...) -> the shape of x[index]."""
    probe = np.broadcast_to(np.zeros((), dtype=x.dtype), x.shape)  # x's shape in one element of memory
    try:
        shape = probe[_on_host(index)].shape
    except IndexError as error:
        raise MissingIndex(f"index: x {tuple(x.shape)}: {error}") from None
    return OpShapes(ArraySpec(shape, x.dtype), 0, flop=0, backward_flop=x.size)
