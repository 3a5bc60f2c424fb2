"""Indexing: y = x[index], with all of NumPy's indices."""

from typing import Any, NamedTuple

import numpy as np

from ..backend import add_at, array_module, to_numpy
from .registry import Operation
from .shape_rules import ArraySpec, MissingIndex, OpShapes


class IndexCache(NamedTuple):
    """Saved: the input's shape and the index, its arrays copied: whose they are may change them."""

    shape: tuple[int, ...]
    index: Any


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


def index_shapes(x, index) -> OpShapes:
    """x (...) -> the shape of x[index]."""
    probe = np.broadcast_to(np.zeros((), dtype=x.dtype), x.shape)  # x's shape in one element of memory
    try:
        shape = probe[_on_host(index)].shape
    except IndexError as error:
        raise MissingIndex(f"index: x {tuple(x.shape)}: {error}") from None
    return OpShapes(ArraySpec(shape, x.dtype), 0, flop=0, backward_flop=x.size)


INDEX = Operation("index", index_forward, index_backward, ("x",), index_shapes, wide=False)
