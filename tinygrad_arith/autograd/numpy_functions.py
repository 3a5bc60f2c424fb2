"""What NumPy's functions do with tensors: `np.concatenate([a, b])`, `np.where(mask, x, 0)`.

Those that are an operation here are that operation. The others see the values; where that would lose a gradient in
silence they are refused.
"""

from typing import Any, NamedTuple

import numpy as np

from . import functions
from .operands import tensors_in
from .tape import is_recording
from .tensor import Tensor


class Ours(NamedTuple):
    """An operation here, and what NumPy's parameters are called here, in NumPy's order; None: there is none."""

    operation: str
    parameters: dict[str, str | None]


_REDUCED = {"a": "x", "axis": "axis", "dtype": None, "out": None, "keepdims": "keepdims"}
_JOINED = {"arrays": "tensors", "axis": "axis", "out": None, "dtype": None, "casting": None}
OPERATIONS = {
    np.concatenate: Ours("concatenate", _JOINED),
    np.stack: Ours("stack", _JOINED),
    np.where: Ours("where", {"condition": "condition", "x": "a", "y": "b"}),
    np.sum: Ours("sum", {**_REDUCED, "initial": None, "where": None}),
    np.mean: Ours("mean", {**_REDUCED, "where": None}),
    np.max: Ours(
        "max", {"a": "x", "axis": "axis", "out": None, "keepdims": "keepdims", "initial": None, "where": None}
    ),
    np.reshape: Ours("reshape", {"a": "x", "shape": "shape", "order": None, "copy": None}),
    np.transpose: Ours("transpose", {"a": "x", "axes": "axes"}),
}
DEFAULTS = ("C", "same_kind")  # of parameters that we do not have; beside None and NumPy's own mark for it
CONSTANTS = (np.zeros_like, np.ones_like, np.empty_like, np.full_like)  # of the first argument: the shape only
WRITERS = (np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal)  # they return nothing


def call(function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The function of NumPy on arguments of which some are tensors, or hold some."""
    if function in OPERATIONS:
        ours = OPERATIONS[function]
        return getattr(functions, ours.operation)(**_in_our_words(function.__name__, ours, args, kwargs))
    looked_at = _beside_first(args, kwargs) if function in CONSTANTS else (args, kwargs)
    wanted = is_recording() and any(tensor.requires_grad for tensor in tensors_in(looked_at))
    if wanted and function in WRITERS:
        raise _loss(function)
    result = function(*_values(args), **_values(kwargs))
    if wanted and _holds_numbers(result):
        raise _loss(function)
    return result


def _beside_first(args: tuple, kwargs: dict[str, Any]) -> tuple:
    """All arguments but the array whose shape is taken."""
    return args[1:], {name: value for name, value in kwargs.items() if name not in ("a", "prototype")}


def _in_our_words(name: str, ours: Ours, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """NumPy's arguments under our names. Raises TypeError for one that says what the operation cannot do."""
    given = dict(zip(ours.parameters, args, strict=False), **kwargs)
    told: dict[str, Any] = {}
    for parameter, value in given.items():
        own = ours.parameters.get(parameter)
        if own is not None:
            told[own] = value
        elif not (value is None or value is np._NoValue or (isinstance(value, str) and value in DEFAULTS)):
            have = ", ".join(one for one, other in ours.parameters.items() if other)
            raise TypeError(f"numpy.{name} of a tensor has no {parameter}: it takes {have}")
    return told


def _loss(function: Any) -> TypeError:
    name = f"{function.__module__}.{function.__name__}"
    return TypeError(f"{name} would lose the gradient of a tensor: give it tensor.numpy() if none is wanted")


def _holds_numbers(result: Any) -> bool:
    """Whether a result is, or has inside, numbers that could have had a gradient."""
    if isinstance(result, dict | list | tuple):
        return any(_holds_numbers(item) for item in (result.values() if isinstance(result, dict) else result))
    return isinstance(result, float | complex) or getattr(result, "dtype", np.dtype(bool)).kind in "fcVO"


def _values(value: Any) -> Any:
    """The same with arrays in place of tensors."""
    if isinstance(value, dict):
        return {key: _values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_values(item) for item in value)
    return value.numpy() if isinstance(value, Tensor) else value
