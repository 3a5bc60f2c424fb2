"""Shapes without arrays: what an operation would return, keep and cost, told before anything is allocated."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np


class ShapeError(ValueError):
    """Shapes that do not fit an operation. Names the operation, the shapes and, inside a model, the module."""

    def __init__(self, message: str):
        super().__init__(message)
        self.message = message
        self.module_path: list[str] = []

    def inside(self, module_name: str) -> None:
        """Called by each module that the error passes on its way out: builds the dotted name from the inside."""
        self.module_path.insert(0, module_name)

    def __str__(self) -> str:
        names = [name for name in self.module_path if name]
        if not names:
            return self.message
        message = self.message.removeprefix(f"{names[-1]}: ")  # an operation in the module of its name is named once
        return f"{'.'.join(names)}: {message}"


@contextmanager
def inside_module(name: str) -> Iterator[None]:
    """A ShapeError inside gets this name of a module in front: while the parts of a model are made."""
    try:
        yield
    except ShapeError as error:
        error.inside(name)
        raise


class MissingIndex(ShapeError, IndexError):
    """An index that an array does not have: an IndexError too, by which loops over what can be indexed end."""


def is_floating(dtype: Any) -> bool:
    """Whether numbers of this dtype can have gradients. NumPy does not count bfloat16 as floating."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


@dataclass(frozen=True)
class ArraySpec:
    """An array's shape and dtype, standing where the array will be."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class OpShapes:
    """What an operation will do, by its shape rule.

    out:           the output's shape and dtype
    cache_bytes:   bytes the backward needs that the forward computed (inputs kept by reference are not counted)
    flop:          floating-point operations of the forward
    backward_flop: and of the backward
    """

    out: ArraySpec
    cache_bytes: int
    flop: int
    backward_flop: int


def spec_of(array: Any) -> ArraySpec:
    """The spec of an array; a spec is its own."""
    if isinstance(array, ArraySpec):
        return array
    return ArraySpec(tuple(np.shape(array)), np.dtype(getattr(array, "dtype", np.float64)))


def describe(**arrays: Any) -> str:
    """`x (2, 3), weight (4, 5)`: the arguments' shapes as they stand in an error."""
    return ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items() if array is not None)


def require(condition: bool, operation: str, rule: str, **arrays: Any) -> None:
    """Raises `ShapeError` with the operation, its rule and all shapes unless the condition holds."""
    if not condition:
        shapes = describe(**arrays)
        raise ShapeError(f"{operation}: {rule}; got {shapes}" if shapes else f"{operation}: {rule}")
