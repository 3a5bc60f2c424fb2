"""One name, several implementations: which one runs is decided here and nowhere else.

`ops` holds the name and the reference, a pair of plain functions. A faster implementation registers itself for an
operation, a device and dtypes; `choose` picks by where the arrays are and what they are. TINYGRAD_ARITH_REFERENCE=1,
set before the start, forces the reference; so does `reference_only` inside a program.
"""

import importlib
import importlib.util
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module
from .shape_rules import is_floating

REFERENCE_VARIABLE = "TINYGRAD_ARITH_REFERENCE"
MOST_PLANS = 1024  # options that change with every step (a dropout key) must not fill the memory


@dataclass(frozen=True, eq=False)
class Operation:
    """The declaration of an operation: its name, its reference pair, and what is known without running it.

    inputs:     the forward's differentiable arguments, in the order of the backward's gradients
    shape_rule: called like the forward, with arrays or `ArraySpec`s; returns `OpShapes` or raises `ShapeError`
    arrays:     those that are arrays without a gradient: ids, masks; a list in their place is made into one
    optional:   those of the inputs without a default that may be None all the same: biases
    wide:       of numbers of 16 bits the reference computes in float32 and rounds what comes out: see `in_float32`;
                False where it only moves numbers, or takes each by itself without leaving its range
    """

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: tuple[str, ...]
    shape_rule: Callable[..., Any] | None = None
    arrays: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    wide: bool = True


class Destination(NamedTuple):
    """Where a gradient may be put at once, so that nobody has to copy it: into `array`, or added to what it holds."""

    array: Any
    add: bool


@dataclass(frozen=True)
class Implementation:
    """A forward and its backward, with the conditions under which they may run.

    forward:  called like the reference's, by keyword
    backward: backward(dy, cache, *, needs, into=None, owned=False) -> tuple of gradients, None where not needed
              needs: a bool for each input
              into:  None, or for each input a `Destination` or None; who uses one returns its very array
              owned: dy may be written to
    accepts:  looks at the arguments' shapes, dtypes and options, never at their values
    """

    operation: str
    name: str
    device: str  # "cpu" or "cuda"
    dtypes: tuple[np.dtype, ...]
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    accepts: Callable[..., bool] = field(default=lambda **arguments: True)
    deterministic: bool = True
    capturable: bool = True  # may run inside a CUDA graph capture


_registered: dict[str, list[Implementation]] = {}
_chosen: dict[tuple[str, str, np.dtype], str] = {}
_loaded_devices: set[str] = set()
_plans: dict[tuple, Any] = {}
_current_device: Callable[[], Any] | None = None  # see `distinguish_devices`
_reference_only = os.environ.get(REFERENCE_VARIABLE, "0") not in ("", "0")


@contextmanager
def reference_only(only: bool = True) -> Iterator[None]:
    """Inside, every operation runs as the reference has it (or, with False, as fast as may be). For all threads."""
    global _reference_only
    before, _reference_only = _reference_only, only
    forget_plans()
    try:
        yield
    finally:
        _reference_only = before
        forget_plans()


def runs_reference_only() -> bool:
    """Whether nothing but the reference runs, by TINYGRAD_ARITH_REFERENCE or inside `reference_only`."""
    return _reference_only


def register(implementation: Implementation) -> None:
    """Adds an implementation; the one registered last is asked first."""
    _registered.setdefault(implementation.operation, []).insert(0, implementation)
    forget_plans()


def forget_plans() -> None:
    """To be called when something other than the arguments changes what runs, such as a setting of `cpu` or `cuda`."""
    _plans.clear()


def distinguish_devices(current_device: Callable[[], Any]) -> None:
    """To be called where there are several GPUs: what was chosen on one is not taken over on another.

    current_device: tells which one is computed on
    """
    global _current_device
    _current_device = current_device
    forget_plans()


def reference_backward(operation: Operation) -> Callable[..., tuple]:
    """The reference's backward behind the signature that the tape calls: always a tuple, everything computed."""

    def backward(dy, cache, *, needs, into=None, owned=False):
        gradients = operation.backward(dy, cache)
        return gradients if isinstance(gradients, tuple) else (gradients,)

    return backward


def is_narrow(dtype: np.dtype) -> bool:
    """float16 or bfloat16."""
    return dtype.itemsize == 2 and is_floating(dtype)


def widened(array: Any) -> Any:
    """Numbers of 16 bits in float32; others as they are."""
    return array.astype(np.float32) if is_narrow(array.dtype) else array


def in_float32(operation: Operation, arguments: dict[str, Any]) -> tuple[Callable[..., Any], Callable[..., tuple]]:
    """The reference's pair for inputs of 16 bits: in float32, rounded where results come out.

    300 squared is beyond float16, and a long sum in 16 bits stops growing.
    """
    names = tuple(inspect.signature(operation.forward).parameters)
    dtypes = {name: arguments[name].dtype for name in operation.inputs if arguments.get(name) is not None}
    out_dtype = np.result_type(*dtypes.values())
    reference = reference_backward(operation)

    def forward(*args, **values):
        values |= dict(zip(names, args, strict=False))
        out, cache = operation.forward(**values | {name: widened(values[name]) for name in dtypes})
        return out.astype(out_dtype), cache

    def backward(dy, cache, *, needs, into=None, owned=False):
        gradients = reference(widened(dy), cache, needs=needs)
        pairs = zip(gradients, dtypes.values(), strict=True)
        return tuple(gradient.astype(dtype) if is_narrow(dtype) else gradient for gradient, dtype in pairs)

    return forward, backward


def choose(operation: Operation, arguments: dict[str, Any]) -> tuple[Callable[..., Any], Callable[..., tuple] | None]:
    """The forward to run and its backward in the tape's form; None stands for the reference's backward."""
    arrays = [arguments[name] for name in operation.inputs if arguments.get(name) is not None]
    dtypes = {array.dtype for array in arrays}
    wide = operation.wide and any(map(is_narrow, dtypes))
    if len(dtypes) != 1 or _reference_only:
        return in_float32(operation, arguments) if wide else (operation.forward, None)
    device, (dtype,) = "cpu" if array_module(*arrays) is np else "cuda", dtypes
    _load(device)
    for candidate in _registered.get(operation.name, ()):
        fits = candidate.device == device and dtype in candidate.dtypes
        if fits and candidate.accepts(**arguments):
            _chosen[operation.name, device, dtype] = candidate.name
            return candidate.forward, candidate.backward
    _chosen[operation.name, device, dtype] = "reference"
    return in_float32(operation, arguments) if wide else (operation.forward, None)


class Plan(NamedTuple):
    """What is known of a call from its arguments' shapes, dtypes and options alone."""

    forward: Callable[..., Any]
    backward: Callable[..., tuple]
    given: tuple[str, ...]  # the inputs that are not None


def plan(operation: Operation, arguments: dict[str, Any]) -> Plan:
    """Checks the shapes and chooses; arguments of the same shapes, dtypes and options get the plan of the last time.

    Raises ShapeError.
    """
    key: Any = (operation, *arguments, *map(_look_of, arguments.values()))
    if _current_device is not None:
        key = (*key, _current_device())
    try:
        known = _plans.get(key)
    except TypeError:  # an option that cannot be hashed, such as a list of indices
        return _make_plan(operation, arguments)
    if known is None:
        known = _make_plan(operation, arguments)
        if len(_plans) >= MOST_PLANS:
            _plans.clear()
        _plans[key] = known
    return known


def _look_of(value: Any) -> Any:
    """What a choice depends on: of an array all but its values; a number, NumPy's too, is an option and counts."""
    if not hasattr(value, "shape"):
        return value
    if isinstance(value, np.generic):
        return value.__class__, value.item()
    return value.shape, value.dtype, value.__class__


def _make_plan(operation: Operation, arguments: dict[str, Any]) -> Plan:
    if operation.shape_rule is not None:
        operation.shape_rule(**arguments)
    forward, backward = choose(operation, arguments)
    given = tuple(name for name in operation.inputs if arguments.get(name) is not None)
    return Plan(forward, backward or reference_backward(operation), given)


def not_differentiable(*arguments: Any, **options: Any) -> Any:
    """Stands for the backward of what has none, such as an optimizer's update."""
    raise TypeError("this operation has no backward")


def chosen_table() -> list[tuple[str, str, str, str]]:
    """What has run so far: rows of (operation, device, dtype, implementation), sorted."""
    return sorted((operation, device, dtype.name, name) for (operation, device, dtype), name in _chosen.items())


def _load(device: str) -> None:
    """Imports the package of faster implementations for a device, if there is one, at the first dispatch to it."""
    if device in _loaded_devices:
        return
    _loaded_devices.add(device)
    package = f"{__name__.split('.')[0]}.{device}"
    if importlib.util.find_spec(package) is not None:
        importlib.import_module(package)
