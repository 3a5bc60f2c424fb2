"""Functions of tensors whose arguments are not those of their operation: `power`, `concatenate`, `stack`."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from ..ops import OPERATIONS, Operation
from .arguments import checked
from .differentiable import apply, differentiable
from .operands import settle
from .tensor import Tensor

_power_of_number = differentiable(OPERATIONS["power"])
_power_of_tensor = differentiable(OPERATIONS["elementwise_power"])
_reshape = differentiable(OPERATIONS["reshape"])


def power(x: Any, exponent: Any) -> Tensor:
    """x ** exponent, element by element. A tensor as the exponent gets its gradient; a number has none."""
    exponent = _plain_number(exponent, x)
    if isinstance(exponent, bool | int | float):
        return _power_of_number(x, exponent)
    return _power_of_tensor(x, exponent)


def _plain_number(exponent: Any, x: Any) -> Any:
    """A number of NumPy as Python's, which does not widen x; beside integers it counts as it does in NumPy."""
    of_numpy = isinstance(exponent, np.generic | np.ndarray) and exponent.ndim == 0
    return exponent.item() if of_numpy and getattr(x, "dtype", np.dtype(float)).kind not in "biu" else exponent


def concatenate(tensors: Iterable[Any], axis: int | None = 0) -> Tensor:
    """The tensors side by side along an axis that they have; None: all their elements in a row."""
    tensors = _listed("concatenate", tensors, axis)
    if axis is None:
        settled = settle({str(number): one for number, one in enumerate(tensors)})
        tensors, axis = [_reshape(settled.get(str(number)), -1) for number in range(len(tensors))], 0
    return _joined("concatenate", tensors, axis)


def stack(tensors: Iterable[Any], axis: int = 0) -> Tensor:
    """The tensors, all of one shape, along a new axis."""
    tensors = _listed("stack", tensors, axis)
    if axis is None:
        raise TypeError("stack: axis is None, but the new axis needs a place: a whole number")
    return _joined("stack", tensors, axis)


def _listed(name: str, tensors: Iterable[Any], axis: Any) -> list[Any]:
    """The tensors in a list. Raises TypeError where they were given one by one."""
    if isinstance(axis, Tensor | np.ndarray | list | tuple) or not isinstance(tensors, Iterable):
        raise TypeError(f"{name} takes the tensors in one list: {name}([a, b])")
    return list(tensors)


def _joined(name: str, tensors: list[Any], axis: int) -> Tensor:
    operation = _for_count(name, len(tensors))
    return apply(operation, {**dict(zip(operation.inputs, tensors, strict=True)), "axis": axis})


@cache
def _for_count(name: str, count: int) -> Operation:
    """An operation on any number of arrays as one on this number, whose inputs have names."""
    operation = OPERATIONS[name]
    shapes_of = operation.shape_rule
    assert shapes_of is not None

    def forward(axis, **arrays):
        return operation.forward(*arrays.values(), axis=axis)

    def shape_rule(axis, **arrays):
        return shapes_of(*arrays.values(), axis=axis)

    names = tuple(f"array {number}" for number in range(count))
    return checked(replace(operation, forward=forward, inputs=names, shape_rule=shape_rule))
