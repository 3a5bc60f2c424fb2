"""What an operation makes of inputs that are no tensors, and of tensors of several dtypes.

Tensors and arrays with axes decide on the dtype, as in NumPy. Nothing else widens a floating dtype: a number of
Python or NumPy, an array or a tensor without axes, and a list take the dtype of the others. Beside integers and bools
they count as they do in NumPy.
"""

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backend import array_module
from ..ops.registry import Operation
from ..ops.shape_rules import ArraySpec, is_floating
from .tape import is_recording, record
from .tensor import Tensor


def is_settled(array: Any) -> bool:
    """Whether an input is taken as it is: it is an array with axes, or None."""
    return array is None or bool(getattr(array, "ndim", 0))


def settle(inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs of an operation as tensors and arrays, of dtypes that go together."""
    inputs = {name: value for name, value in inputs.items() if value is not None}
    deciding = [value for value in inputs.values() if getattr(value, "ndim", 0)]
    deciding = deciding or [value for value in inputs.values() if isinstance(value, Tensor)]
    if not deciding:
        return {name: np.asarray(value) for name, value in inputs.items()}
    dtype = deciding[0].dtype if len(deciding) == 1 else np.result_type(*(value.dtype for value in deciding))
    fixed = {id(value) for value in deciding}
    return {n: value if id(value) in fixed else _fitted(value, dtype, deciding) for n, value in inputs.items()}


def _fitted(value: Any, dtype: np.dtype, beside: list[Any]) -> Any:
    """One of those that do not decide, beside tensors and arrays of this dtype."""
    is_number = isinstance(value, bool | int | float | complex)
    if is_floating(dtype):
        if isinstance(value, Tensor):
            return cast(value, dtype) if _would_widen(value.dtype, dtype) else value
        if isinstance(value, complex | str):
            raise TypeError(f"{value!r} beside a tensor of {dtype}: gradients are of real numbers")
        if is_number:
            return dtype.type(value)
    elif isinstance(value, Tensor):
        return value
    elif is_number:
        return np.asarray(value, dtype=np.result_type(dtype, value))[()]
    refuse_tensors_in(value)
    made = np.asarray(value)
    if made.dtype.kind == "O":
        raise TypeError(f"{value!r} beside a tensor of {dtype}: it is no number and no array of numbers")
    if is_floating(dtype) and made.dtype.kind != "c":
        made = made.astype(dtype)
    # Without axes a NumPy scalar, which CuPy takes too
    return array_module(*(getattr(v, "array", v) for v in beside)).asarray(made) if made.ndim else made[()]


def _would_widen(own: np.dtype, dtype: np.dtype) -> bool:
    """Whether a tensor without axes is to take the floating dtype of the others."""
    return own.kind in "biu" or (is_floating(own) and np.result_type(own, dtype) != dtype)


def cast(tensor: Tensor, dtype: np.dtype) -> Tensor:
    """The tensor in another dtype; its gradient comes back in its own."""
    if isinstance(tensor.array, ArraySpec):
        return Tensor(ArraySpec(tensor.shape, dtype))
    out = Tensor(tensor.array.astype(dtype))
    if is_recording():
        own = tensor.dtype
        record("cast", lambda dy, cache, **_: (dy.astype(own),), (), out, ("x",), [tensor])
    return out


def refuse_tensors_in(value: Any) -> None:
    """Raises TypeError for a list that holds a tensor: NumPy would make an array of it and lose the gradient."""
    if isinstance(value, Tensor):
        raise TypeError("a list of tensors is no array: join them with stack or concatenate, which pass gradients on")
    if isinstance(value, list | tuple):
        for item in value:
            refuse_tensors_in(item)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors that an argument is or, in lists, tuples and dicts, holds."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(item)


def option(operation: Operation, name: str, value: Any) -> Any:
    """An argument without a gradient, as the operation gets it.

    Numbers of NumPy and arrays without axes become Python's numbers, which never widen, and by which an implementation
    is chosen; to read one from a GPU waits for it. Raises TypeError for a tensor that waits for a gradient, in a list
    too.
    """
    if isinstance(value, Tensor | list | tuple):
        if is_recording() and any(tensor.requires_grad for tensor in tensors_in(value)):
            raise TypeError(f"{operation.name} passes no gradient on to {name}: give it {name}.detach()")
        value = value.array if isinstance(value, Tensor) else value
    if name in operation.arrays:
        return plain_array(value)
    if name in WHOLE_NUMBERS:
        return value if type(value) is int else whole_numbers(f"{operation.name}: {name}", value)
    if getattr(value, "ndim", None) != 0 or isinstance(value, ArraySpec) or name == "index":
        return value  # an index on a GPU is not read
    if is_floating(value.dtype):
        return float(value)
    return value.item() if value.dtype.kind in "biu" else value


WHOLE_NUMBERS = ("axis", "axes", "shape")


def whole_numbers(whose: str, value: Any) -> Any:
    """A whole number as Python's, several as a tuple; what is neither, such as None, as it is.

    Raises TypeError for numbers that are not whole.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple([whole_numbers(whose, one) for one in value])
    if isinstance(value, float | complex):
        raise TypeError(f"{whose} must be a whole number, or several; not {value!r}")
    return operator.index(value) if hasattr(value, "__index__") else value


def plain_array(value: Any) -> Any:
    """Lists, numbers, tensors and arrays of another library as arrays; our arrays, specs and None as they are."""
    value = value.array if isinstance(value, Tensor) else value
    ours = value is None or isinstance(value, ArraySpec) or isinstance(getattr(value, "dtype", None), np.dtype)
    return value if ours else np.asarray(value)
