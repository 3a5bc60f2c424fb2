"""Several arrays in one: side by side along an axis they have (concatenate), or along a new one (stack)."""

from itertools import accumulate
from typing import NamedTuple

import numpy as np

from ..backend import array_module
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, ShapeError


class ConcatenateCache(NamedTuple):
    """Saved: the axis, and how long each input is along it."""

    axis: int
    lengths: tuple[int, ...]


class StackCache(NamedTuple):
    """Saved: the new axis, and how many inputs there were."""

    axis: int
    inputs: int


def concatenate_forward(*arrays, axis=0):  # each (..., its own length, ...)
    """Returns y (..., the sum of the lengths, ...) and the cache."""
    axis = axis % arrays[0].ndim
    lengths = tuple(array.shape[axis] for array in arrays)
    return array_module(*arrays).concatenate(arrays, axis=axis), ConcatenateCache(axis, lengths)


def concatenate_backward(dy, cache):  # dy (..., the sum of the lengths, ...)
    """Returns a gradient for each input, (..., its own length, ...), views of dy."""
    xp = array_module(dy)
    # forward: an input stands in y unchanged, and begins where those before it end
    starts = list(accumulate(cache.lengths[:-1]))  # of all but the first
    return tuple(xp.split(dy, starts, axis=cache.axis))


def stack_forward(*arrays, axis=0):  # all (...)
    """Returns y (..., the number of inputs, ...), whose axis `axis` is new, and the cache."""
    axis = axis % (arrays[0].ndim + 1)
    return array_module(*arrays).stack(arrays, axis=axis), StackCache(axis, len(arrays))


def stack_backward(dy, cache):  # dy (..., the number of inputs, ...)
    """Returns a gradient for each input, (...), views of dy."""
    # forward: input k is y at place k of the new axis
    before = (slice(None),) * cache.axis
    return tuple(dy[(*before, k, ...)] for k in range(cache.inputs))


def concatenate_shapes(*arrays, axis=0) -> OpShapes:
    """Shapes that differ along the axis at most -> the same with the sum along it."""
    _require_arrays("concatenate", arrays, axis, arrays[0].ndim if arrays else 0)
    axis = axis % arrays[0].ndim
    if len({(*array.shape[:axis], "any", *array.shape[axis + 1 :]) for array in arrays}) > 1:
        raise ShapeError(f"concatenate: the shapes must differ along axis {axis} only; got {_told(arrays)}")
    first = arrays[0].shape
    shape = (*first[:axis], sum(array.shape[axis] for array in arrays), *first[axis + 1 :])
    return OpShapes(ArraySpec(shape, _dtype(arrays)), 0, flop=0, backward_flop=0)


def stack_shapes(*arrays, axis=0) -> OpShapes:
    """Equal shapes -> the same with their number as a new axis."""
    _require_arrays("stack", arrays, axis, arrays[0].ndim + 1 if arrays else 0)
    axis = axis % (arrays[0].ndim + 1)
    if len({tuple(array.shape) for array in arrays}) > 1:
        raise ShapeError(f"stack: the shapes must be the same; got {_told(arrays)}")
    shape = (*arrays[0].shape[:axis], len(arrays), *arrays[0].shape[axis:])
    return OpShapes(ArraySpec(shape, _dtype(arrays)), 0, flop=0, backward_flop=0)


def _require_arrays(operation, arrays, axis, axes) -> None:
    """Raises `ShapeError` unless there is an array, and an axis of this number."""
    if not arrays:
        raise ShapeError(f"{operation}: there must be at least one array")
    if not -axes <= axis < axes:
        raise ShapeError(f"{operation}: there is no axis {axis}; got {_told(arrays)}")


def _dtype(arrays):
    return np.result_type(*(array.dtype for array in arrays))


def _told(arrays) -> str:
    return ", ".join(str(tuple(array.shape)) for array in arrays)


CONCATENATE = Operation(
    "concatenate", concatenate_forward, concatenate_backward, ("arrays",), concatenate_shapes, wide=False
)
STACK = Operation("stack", stack_forward, stack_backward, ("arrays",), stack_shapes, wide=False)
