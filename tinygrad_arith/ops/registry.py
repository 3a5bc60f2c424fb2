"""One name, several implementations: which one runs is decided here and nowhere else.

`ops` holds the name and the textbook. A faster implementation registers itself for an operation, a device and dtypes;
`choose` picks by where the arrays are and what they are. Set TINYGRAD_ARITH_REFERENCE=1 to force the textbook.
"""

import importlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend import array_module

REFERENCE_VARIABLE = "TINYGRAD_ARITH_REFERENCE"


@dataclass(frozen=True)
class Operation:
    """A name, its textbook pair, and what is known without running it.

    inputs:     the forward's differentiable arguments, in the order of the backward's gradients
    shape_rule: called like the forward, with arrays or `ArraySpec`s; returns `OpShapes` or raises `ShapeError`
    """

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: tuple[str, ...]
    shape_rule: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Implementation:
    """A forward and its backward, with the conditions under which they may run.

    forward:  called like the textbook's, by keyword
    backward: backward(dy, cache, *, needs, into=None, owned=False) -> tuple of gradients, None where not needed
              (needs: a bool for each input; into: a buffer for each input to add to, or None; owned: dy may be written)
    accepts:  looks at the arguments' shapes and options, never at their values
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


def register(implementation: Implementation) -> None:
    """Adds an implementation; the one registered last is asked first."""
    _registered.setdefault(implementation.operation, []).insert(0, implementation)


def textbook_backward(operation: Operation) -> Callable[..., tuple]:
    """The textbook's backward behind the signature that the tape calls: always a tuple, everything computed."""

    def backward(dy, cache, *, needs, into=None, owned=False):
        gradients = operation.backward(dy, cache)
        return gradients if isinstance(gradients, tuple) else (gradients,)

    return backward


def choose(operation: Operation, arguments: dict[str, Any]) -> tuple[Callable[..., Any], Callable[..., tuple] | None]:
    """The forward to run and its backward in the tape's form; None stands for the textbook's backward."""
    arrays = [arguments[name] for name in operation.inputs if arguments.get(name) is not None]
    dtypes = {array.dtype for array in arrays}
    if len(dtypes) != 1 or os.environ.get(REFERENCE_VARIABLE, "0") not in ("", "0"):
        return operation.forward, None
    device, (dtype,) = "cpu" if array_module(*arrays) is np else "cuda", dtypes
    _load(device)
    for candidate in _registered.get(operation.name, ()):
        fits = candidate.device == device and dtype in candidate.dtypes
        if fits and candidate.accepts(**arguments):
            _chosen[operation.name, device, dtype] = candidate.name
            return candidate.forward, candidate.backward
    _chosen[operation.name, device, dtype] = "textbook"
    return operation.forward, None


def not_differentiable(*arguments: Any, **options: Any) -> Any:
    """Stands for the backward of what has none, such as an optimizer's update."""
    raise TypeError("this operation has no backward")


def chosen_table() -> list[tuple[str, str, str, str]]:
    """What has run so far: rows of (operation, device, dtype, implementation), sorted."""
    return sorted((operation, device, dtype.name, name) for (operation, device, dtype), name in _chosen.items())


def _load(device: str) -> None:
    """Imports the room of faster implementations for a device, if there is one, at the first dispatch to it."""
    if device in _loaded_devices:
        return
    _loaded_devices.add(device)
    room = f"{__name__.split('.')[0]}.{device}"
    if importlib.util.find_spec(room) is not None:
        importlib.import_module(room)
