"""Makes a forward and a backward into a function of tensors."""

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ..ops.registry import Operation, plan
from ..ops.shape_rules import ArraySpec, OpShapes, ShapeError, describe, is_floating, spec_of
from .arguments import checked
from .operands import is_settled, option, settle
from .tape import is_recording, record
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
        inputs = inputs or _differentiable_arguments(forward)
        operation = Operation(name, forward, backward, inputs, shape_rule, wide=False)
    operation = checked(operation)
    signature = inspect.signature(operation.forward)
    parameter_names = tuple(signature.parameters)

    def function(*args, **kwargs) -> Tensor:
        if len(args) > len(parameter_names):
            raise TypeError(f"{operation.name} takes {len(parameter_names)} arguments; {len(args)} were given")
        return apply(operation, dict(zip(parameter_names, args, strict=False), **kwargs))

    function.__name__ = function.__qualname__ = operation.name
    function.__doc__ = operation.forward.__doc__
    function.__signature__ = signature.replace(return_annotation=Tensor)  # type: ignore[attr-defined]  # for help()
    return function


def _differentiable_arguments(forward: Callable[..., Any]) -> tuple[str, ...]:
    parameters = inspect.signature(forward).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple(p.name for p in positional if p.default is p.empty or p.default is None)


def apply(operation: Operation, arguments: dict[str, Any]) -> Tensor:
    """Checks shapes, runs the chosen forward, and records a node if a gradient is wanted."""
    values = _values(operation, arguments)
    if any(isinstance(value, ArraySpec) for value in values.values()):
        return _apply_to_specs(operation, arguments, values)
    chosen = plan(operation, values)
    try:
        out, cache = chosen.forward(**values)
    except ValueError as error:
        if operation.shape_rule is not None:
            raise
        arrays = {name: value for name, value in values.items() if hasattr(value, "shape")}
        raise ShapeError(f"{operation.name}: {error}; got {describe(**arrays)}") from error
    except TypeError as error:
        dtypes = [values[name].dtype for name in chosen.given]
        odd = [dtype for dtype in dtypes if dtype.kind not in "iu" and not is_floating(dtype)]
        if not odd:
            raise
        raise TypeError(f"{operation.name} takes numbers, not an array of {odd[0]}") from error
    tensor = Tensor(out)
    if is_recording():
        inputs = [arguments[name] for name in chosen.given]
        record(operation.name, chosen.backward, cache, tensor, chosen.given, inputs)
    return tensor


def _values(operation: Operation, arguments: dict[str, Any]) -> dict[str, Any]:
    """What the forward is called with. In `arguments`, inputs that are no tensors are replaced by such as are."""
    inputs, values, settled = operation.inputs, {}, True
    for name, value in arguments.items():
        if name in inputs:
            values[name] = value = value.array if isinstance(value, Tensor) else value
            settled = settled and is_settled(value)
        else:
            values[name] = option(operation, name, value)
    if not settled:
        arguments |= settle({name: arguments[name] for name in inputs if name in arguments})
        values |= {n: v.array if isinstance(v, Tensor) else v for n, v in arguments.items() if n in inputs}
    return values


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
