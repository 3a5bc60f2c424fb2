"""Every operation of `ops` as a function of tensors. Usually imported as F: `F.layernorm(x, weight, bias)`."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any, NoReturn

import numpy as np

from ..ops import OPERATIONS, Operation
from . import names_elsewhere
from .arguments import checked
from .differentiable import apply, differentiable
from .operands import settle
from .tensor import Tensor

embedding = differentiable(OPERATIONS["embedding"])
linear = differentiable(OPERATIONS["linear"])
layernorm = differentiable(OPERATIONS["layernorm"])
rmsnorm = differentiable(OPERATIONS["rmsnorm"])
attention = differentiable(OPERATIONS["attention"])
attention_blockwise = differentiable(OPERATIONS["attention_blockwise"])
packed_attention = differentiable(OPERATIONS["packed_attention"])
rotary = differentiable(OPERATIONS["rotary"])
packed_rotary = differentiable(OPERATIONS["packed_rotary"])
gelu = differentiable(OPERATIONS["gelu"])
gelu_exact = differentiable(OPERATIONS["gelu_exact"])
relu = differentiable(OPERATIONS["relu"])
dropout = differentiable(OPERATIONS["dropout"])
ffn = differentiable(OPERATIONS["ffn"])
cross_entropy_sum = differentiable(OPERATIONS["cross_entropy_sum"])
cross_entropy = differentiable(OPERATIONS["cross_entropy"])

add = differentiable(OPERATIONS["add"])
subtract = differentiable(OPERATIONS["subtract"])
multiply = differentiable(OPERATIONS["multiply"])
divide = differentiable(OPERATIONS["divide"])
elementwise_power = differentiable(OPERATIONS["elementwise_power"])
matmul = differentiable(OPERATIONS["matmul"])
negative = differentiable(OPERATIONS["negative"])
exp = differentiable(OPERATIONS["exp"])
log = differentiable(OPERATIONS["log"])
sqrt = differentiable(OPERATIONS["sqrt"])
tanh = differentiable(OPERATIONS["tanh"])
sum = differentiable(OPERATIONS["sum"])
mean = differentiable(OPERATIONS["mean"])
max = differentiable(OPERATIONS["max"])
softmax = differentiable(OPERATIONS["softmax"])
log_softmax = differentiable(OPERATIONS["log_softmax"])
where = differentiable(OPERATIONS["where"])
reshape = differentiable(OPERATIONS["reshape"])
transpose = differentiable(OPERATIONS["transpose"])
index = differentiable(OPERATIONS["index"])

_power_of_number = differentiable(OPERATIONS["power"])


def __getattr__(name: str) -> NoReturn:  # of what is not here
    raise AttributeError(names_elsewhere.of_function(name, [*OPERATIONS, "power"]))


def power(x: Any, exponent: Any) -> Tensor:
    """x ** exponent, element by element. A tensor as the exponent gets its gradient; a number has none."""
    exponent = _plain_number(exponent, x)
    if isinstance(exponent, bool | int | float):
        return _power_of_number(x, exponent)
    return elementwise_power(x, exponent)


def _plain_number(exponent: Any, x: Any) -> Any:
    """A number of NumPy as Python's, which does not widen x; beside integers it counts as it does in NumPy."""
    of_numpy = isinstance(exponent, np.generic | np.ndarray) and exponent.ndim == 0
    return exponent.item() if of_numpy and getattr(x, "dtype", np.dtype(float)).kind not in "biu" else exponent


def concatenate(tensors: Iterable[Any], axis: int | None = 0) -> Tensor:
    """The tensors side by side along an axis that they have; None: all their elements in a row."""
    tensors = _listed("concatenate", tensors, axis)
    if axis is None:
        settled = settle({str(number): one for number, one in enumerate(tensors)})
        tensors, axis = [reshape(settled.get(str(number)), -1) for number in range(len(tensors))], 0
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
