"""The arguments of a forward: which are differentiable, what they are called, how the forward is called with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

__all__ = [
    "Arguments", "as_names", "as_outputs", "bind_arguments", "chosen_positions", "describe", "is_array",
    "is_array_like", "is_differentiable", "is_float", "require_known_names", "same_bits", "sizes_of", "to_host",
]  # fmt: skip


def is_array(value: Any) -> bool:
    """Is this an array of NumPy or of a library like it (CuPy)? NumPy scalars are plain numbers here."""
    return hasattr(value, "dtype") and hasattr(value, "shape") and not isinstance(value, np.generic)


def is_differentiable(value: Any) -> bool:
    """Is this a floating-point array? Integer and boolean arrays, numbers, None and keys are passed through."""
    return is_array(value) and is_float(value)


def to_host(value: Any) -> np.ndarray:
    """A NumPy array with the numbers of an array that may live on a GPU (CuPy arrays have `.get()`)."""
    return value.get() if not isinstance(value, np.ndarray) and hasattr(value, "get") else np.asarray(value)


def same_bits(a: Any, b: Any) -> bool:
    """Do two arrays hold the same numbers (NaN equals NaN, shape and dtype count)?"""
    first, second = to_host(a), to_host(b)
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if first.dtype != object and first.tobytes() == second.tobytes():
        return True
    return bool(np.array_equal(first, second, equal_nan=first.dtype.kind in "fc"))


def as_names(names: Collection[str]) -> tuple[str, ...]:
    """A collection of names as a tuple; one name may be given by itself."""
    return (names,) if isinstance(names, str) else tuple(names)


@dataclass(frozen=True)
class Arguments:
    """The arguments of one check: `values` go to the forward by position (or by name), `options` always by name."""

    names: tuple[str, ...]
    values: tuple[Any, ...]
    by_name: bool
    options: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @cached_property
    def differentiable(self) -> tuple[int, ...]:
        """Positions of the floating-point arrays, in order."""
        return tuple(i for i, value in enumerate(self.values) if is_differentiable(value))

    @cached_property
    def absent(self) -> tuple[int, ...]:
        """Positions of the arguments that are None: a backward may return None in their place."""
        return tuple(i for i, value in enumerate(self.values) if value is None)

    def call(self, forward: Callable, values: Sequence[Any] | None = None) -> Any:
        """forward(arguments), with `values` in place of the caller's own where they are given."""
        values = self.values if values is None else values
        if self.by_name:
            return forward(**dict(zip(self.names, values, strict=True)), **self.options)
        return forward(*values, **self.options)

    def arrays(self) -> dict[str, Any]:
        """Every array among the arguments, options included, by name."""
        named = dict(zip(self.names, self.values, strict=True)) | dict(self.options)
        return {name: value for name, value in named.items() if is_array(value)}

    def float64_copies(self) -> list[Any]:
        """The values with every floating-point array copied to float64, free to be perturbed."""
        return [value.astype("float64", copy=True) if is_differentiable(value) else value for value in self.values]


def bind_arguments(
    forward: Callable, inputs: Any, options: Mapping[str, Any] | None, names: Sequence[str] | None
) -> Arguments:
    """Arguments from what the caller gave: a tuple, a dict or one array; names from `names` or the forward's
    signature. Lists of numbers and single numbers become arrays.
    """
    options, by_name = dict(options or {}), isinstance(inputs, Mapping)
    values = tuple(inputs.values()) if by_name else _as_tuple_of_inputs(inputs)
    if by_name:
        names = tuple(inputs)
    elif names is None:
        names = _parameter_names(forward, len(values))
    if len(names) != len(values):
        raise ValueError(f"names has {len(names)} entries for {len(values)} inputs")
    made = [_as_plain(name, value) for name, value in zip(names, values, strict=True)]
    notes = tuple(note for _, note in made if note)
    return Arguments(tuple(names), tuple(value for value, _ in made), by_name, options, notes)


def _as_tuple_of_inputs(inputs: Any) -> tuple[Any, ...]:
    """One array, list of numbers or number is the only input; of anything else each item is one."""
    if is_array(inputs):
        return (inputs,)
    if isinstance(inputs, (float, np.floating)):
        return (np.asarray(inputs),)
    if isinstance(inputs, list) and _is_nested_numbers(inputs):
        return (np.asarray(inputs, dtype=np.float64),)
    if isinstance(inputs, (str, bytes)) or not isinstance(inputs, Iterable):
        raise TypeError(f"inputs must be a tuple of arguments, a dict by name or one array, got {describe(inputs)}")
    return tuple(inputs)


def _is_nested_numbers(value: Any) -> bool:
    """Is this a list of numbers, or of lists of numbers, and so on?"""
    if isinstance(value, list):
        return bool(value) and all(_is_nested_numbers(item) for item in value)
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _as_plain(name: str, value: Any) -> tuple[Any, str]:
    """The value as the check works with it, and a note where something of it is left out.

    Raises TypeError for arrays whose gradient is not a real array.
    """
    if isinstance(value, list) and _is_nested_numbers(value) and np.asarray(value).dtype.kind == "f":
        return np.asarray(value), ""
    if not is_array(value):
        return value, ""
    if not isinstance(value.dtype, np.dtype):
        library = type(value).__module__.split(".")[0]
        raise TypeError(
            f"{name} is an array of {library}, the check works on NumPy arrays: wrap the functions so that they take "
            "and return them (`from_tensor_function` does it for tensors)"
        )
    if value.dtype.kind in "cO":
        wanted = "its real and imaginary parts as two arrays" if value.dtype.kind == "c" else "arrays of numbers"
        raise TypeError(f"{name} is an array of {value.dtype}: pass {wanted}")
    if isinstance(value, np.ma.MaskedArray):
        note = "" if not np.ma.is_masked(value) else f"{name} was checked as a plain array, without its mask"
        return np.ma.getdata(value), note
    if isinstance(value, np.matrix):
        return np.asarray(value), f"{name} was checked as a plain array: np.matrix has other products and powers"
    if not isinstance(value, np.ndarray) and not hasattr(value, "get"):
        return np.asarray(value), f"{name} was checked as a plain array, not as a {type(value).__name__}"
    return value, ""


def as_outputs(out: Any) -> tuple[Any, ...]:
    """What a forward returned as a tuple of arrays; a list of arrays counts as a tuple, a Python float as an array."""
    outputs = tuple(out) if isinstance(out, (tuple, list)) else (out,)
    outputs = tuple(np.float64(o) if isinstance(o, float) else o for o in outputs)
    for number, output in enumerate(outputs):
        if is_array_like(output) and getattr(output.dtype, "kind", "") == "c":
            raise TypeError(f"output {number} is complex: return its real and imaginary parts as two arrays")
    return outputs


def _parameter_names(forward: Callable, count: int) -> tuple[str, ...]:
    """The names of the first `count` positional parameters of a function; "input 0", ... where it does not say."""
    try:
        parameters = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    return tuple(named) + tuple(f"input {i}" for i in range(len(named), count))


def is_array_like(value: Any) -> bool:
    """Has this a shape and a dtype (NumPy scalars included)?"""
    return hasattr(value, "dtype") and hasattr(value, "shape")


def is_float(value: Any) -> bool:
    """Has this floating-point numbers (bfloat16 included), array or NumPy scalar?"""
    return is_array_like(value) and (getattr(value.dtype, "kind", "") == "f" or "bfloat16" in str(value.dtype))


def chosen_positions(arguments: Arguments, wrt: Collection[str | int] | None) -> tuple[int, ...]:
    """Positions of the inputs whose gradient is compared."""
    if wrt is None:
        return arguments.differentiable
    wanted = {wrt} if isinstance(wrt, str | int) else set(wrt)
    require_known_names("wrt", [name for name in wanted if isinstance(name, str)], arguments)
    unknown = sorted(p for p in wanted if not isinstance(p, str) and p not in arguments.differentiable)
    if unknown:
        known = ", ".join(f"{p} ({arguments.names[p]})" for p in arguments.differentiable)
        raise ValueError(f"wrt names position {unknown[0]}; the differentiable inputs are {known}")
    return tuple(p for p in arguments.differentiable if p in wanted or arguments.names[p] in wanted)


def require_known_names(argument: str, names: Collection[str], arguments: Arguments) -> None:
    """Raises ValueError, naming the caller's argument, for names that are no differentiable inputs."""
    known = [arguments.names[p] for p in arguments.differentiable]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"{argument} names {', '.join(unknown)}; the differentiable inputs are {', '.join(known)}")


def sizes_of(arguments: Arguments) -> dict[str, int]:
    """Names for the sizes in the inputs' shapes: {"the size of axis 1 of q": 5}."""
    places: dict[int, list[str]] = {}
    for name, value in arguments.arrays().items():
        for axis, size in enumerate(value.shape):
            places.setdefault(int(size), []).append(f"axis {axis} of {name}")
    return {f"the size of {places[size][0]}": size for size in places if size > 1}


def describe(value: Any) -> str:
    """A few words for a value that is not what it should be."""
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return f"an array of {value.dtype}" if is_array_like(value) else f"{type(value).__name__}"
