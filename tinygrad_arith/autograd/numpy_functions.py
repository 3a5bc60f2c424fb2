"""What NumPy's functions do with tensors: `np.concatenate([a, b])`, `np.where(mask, x, 0)`.

Those that are an operation here are that operation. The others see the values; where that would lose a gradient in
silence they are refused.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..ops.shapes import is_floating
from . import functions
from .tape import is_recording
from .tensor import Tensor

OPERATIONS = {
    np.concatenate: "concatenate",
    np.stack: "stack",
    np.where: "where",
    np.sum: "sum",
    np.mean: "mean",
    np.max: "max",
    np.reshape: "reshape",
    np.transpose: "transpose",
}
CONSTANTS = (np.zeros_like, np.ones_like, np.empty_like, np.full_like)  # of a tensor they take the shape only


def call(function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The function of NumPy on arguments of which some are tensors, or hold some."""
    if function in OPERATIONS:
        return getattr(functions, OPERATIONS[function])(*args, **kwargs)
    result = function(*_values(args), **_values(kwargs))
    wanted = is_recording() and any(tensor.requires_grad for tensor in _tensors((args, kwargs)))
    if wanted and function not in CONSTANTS and is_floating(getattr(result, "dtype", np.dtype(bool))):
        raise TypeError(
            f"numpy.{function.__name__} would lose the gradient of a tensor: give it tensor.numpy() if none is wanted"
        )
    return result


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


def _values(value: Any) -> Any:
    """The same with arrays in place of tensors."""
    if isinstance(value, dict):
        return {key: _values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_values(item) for item in value)
    return value.numpy() if isinstance(value, Tensor) else value
