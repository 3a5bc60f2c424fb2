"""Makes a forward and a backward into a function of tensors."""

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ..ops.registry import Operation, choose, textbook_backward
from ..ops.shapes import ArraySpec, OpShapes, ShapeError, describe, spec_of
from .tape import Node, is_recording
from .tensor import Tensor


def differentiable(
    forward: Callable[..., Any] | Operation,
    backward: Callable[..., Any] | None = None,
    *,
    inputs: tuple[str, ...] | None = None,
    name: str | None = None,
    shape_rule: Callable[..., OpShapes] | None = None,
) -> Callable[..., Tensor]:
    """A function of tensors from a pair `forward(...) -> (out, cache)`, `backward(dy, cache) -> gradients`.

        layernorm = differentiable(layernorm_forward, layernorm_backward)

    inputs:     names of the forward's differentiable arguments, in the order of the gradients; default: its positional
                arguments without a default, or whose default is None
    name:       what errors call it; default: the forward's name without "_forward"
    shape_rule: called like the forward with `ArraySpec`s, returns `OpShapes`; needed for dry passes over shapes only
    """
    if isinstance(forward, Operation):
        operation = forward
    else:
        if backward is None:
            raise TypeError("differentiable needs a backward beside the forward")
        name = name or forward.__name__.removesuffix("_forward")
        operation = Operation(name, forward, backward, inputs or _differentiable_arguments(forward), shape_rule)
    parameter_names = tuple(inspect.signature(operation.forward).parameters)
    reference_backward = textbook_backward(operation)

    def function(*args, **kwargs) -> Tensor:
        if len(args) > len(parameter_names):
            raise TypeError(f"{operation.name} takes {len(parameter_names)} arguments; {len(args)} were given")
        arguments = dict(zip(parameter_names, args, strict=False), **kwargs)
        return _apply(operation, reference_backward, arguments)

    function.__name__ = function.__qualname__ = operation.name
    function.__doc__ = operation.forward.__doc__
    return function


def _differentiable_arguments(forward: Callable[..., Any]) -> tuple[str, ...]:
    parameters = inspect.signature(forward).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple(p.name for p in positional if p.default is p.empty or p.default is None)


def _apply(operation: Operation, reference_backward: Callable[..., tuple], arguments: dict[str, Any]) -> Tensor:
    """Checks shapes, runs the chosen forward, and records a node if a gradient is wanted."""
    values = {name: value.array if isinstance(value, Tensor) else value for name, value in arguments.items()}
    if any(isinstance(value, ArraySpec) for value in values.values()):
        return _apply_to_specs(operation, arguments, values)
    if operation.shape_rule is not None:
        operation.shape_rule(**values)
    forward, backward = choose(operation, values)
    try:
        out, cache = forward(**values)
    except ValueError as error:
        if operation.shape_rule is not None:
            raise
        arrays = {name: value for name, value in values.items() if hasattr(value, "shape")}
        raise ShapeError(f"{operation.name}: {error}; got {describe(**arrays)}") from error
    tensor = Tensor(out)
    if is_recording():
        _record(operation, backward or reference_backward, cache, arguments, tensor)
    return tensor


def _record(
    operation: Operation, backward: Callable[..., tuple], cache: Any, arguments: dict[str, Any], out: Tensor
) -> None:
    """Leaves a node on the tape if any input wants a gradient."""
    given = [(name, arguments[name]) for name in operation.inputs if arguments.get(name) is not None]
    if not any(isinstance(value, Tensor) and value.requires_grad for _, value in given):
        return
    node = Node(operation.name, backward, cache, out.shape)
    for name, value in given:
        wanted = isinstance(value, Tensor) and value.requires_grad
        node.add_input(name, (value.node or value) if wanted else None, tuple(value.shape))
        if isinstance(value, Tensor):
            node.watch(name, value.array, value.version)
    node.watch("its output", out.array, out.version)
    out.node = node


@dataclass(frozen=True)
class TraceRow:
    """One operation of a dry pass: where in the model it stands and what it would do."""

    module: str
    operation: str
    shapes: OpShapes
    needs_gradient: bool


class _TraceState(threading.local):
    rows: list[TraceRow] | None = None
    path: tuple[str, ...] = ()


_trace = _TraceState()


@contextmanager
def trace_shapes() -> Iterator[list[TraceRow]]:
    """Collects a row for each operation applied to specs inside. Per thread."""
    before, _trace.rows = _trace.rows, []
    try:
        yield _trace.rows
    finally:
        _trace.rows = before


def is_tracing() -> bool:
    """Whether this thread is in a dry pass over shapes."""
    return _trace.rows is not None


@contextmanager
def trace_module(name: str) -> Iterator[None]:
    """Rows collected inside carry this module's name at the end of their dotted path."""
    before, _trace.path = _trace.path, (*_trace.path, name)
    try:
        yield
    finally:
        _trace.path = before


def _apply_to_specs(operation: Operation, arguments: dict[str, Any], values: dict[str, Any]) -> Tensor:
    """The dry pass: the output's spec by the shape rule; no array is made."""
    if operation.shape_rule is None:
        raise ShapeError(f"{operation.name} has no shape rule for a dry pass; give `differentiable` a shape_rule")
    shapes = operation.shape_rule(**values)
    shapes = replace(shapes, out=spec_of(shapes.out))
    tensors = [value for name in operation.inputs if isinstance(value := arguments.get(name), Tensor)]
    needs_gradient = any(tensor.requires_grad for tensor in tensors)
    if _trace.rows is not None:
        module = ".".join(part for part in _trace.path if part)
        _trace.rows.append(TraceRow(module, operation.name, shapes, needs_gradient))
    out = Tensor(shapes.out)
    out.spec_requires_grad = needs_gradient
    return out
