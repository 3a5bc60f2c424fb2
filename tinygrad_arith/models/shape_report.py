"""What a model will cost, by a dry pass over shapes: no array is made."""

from dataclasses import dataclass
from typing import Any

from ..autograd import TraceRow, no_grad, trace_shapes
from ..backend import DtypePolicy
from ..nn import Module, Parameter
from ..ops import ArraySpec


@dataclass(frozen=True)
class ShapeReport:
    """The dry pass of one forward.

    rows:             one a operation: module, operation, output, bytes, FLOP
    parameters:       count of the numbers in all of them
    parameter_bytes:  weights alone
    training_bytes:   weights (and the copy of fewer bits, if there is one); of those that are not frozen the gradients
                      and the two moments of AdamW too
    activation_bytes: what a forward leaves for the backward, at most (outputs and caches, as if none were shared)
    flop:             one forward and backward
    """

    rows: tuple[TraceRow, ...]
    parameters: int
    parameter_bytes: int
    training_bytes: int
    activation_bytes: int
    flop: int


def report_shapes(model: Module, policy: DtypePolicy, *inputs: Any, **options: Any) -> ShapeReport:
    """Runs `model(*inputs, **options)` with specs in place of the parameters' arrays."""
    parameters = list(model.named_parameters().values())
    arrays = [parameter.array for parameter in parameters]
    try:
        _set_arrays(parameters, [ArraySpec(tuple(p.shape), policy.compute) for p in parameters])
        with no_grad(), trace_shapes() as rows:
            model(*inputs, **options)
    finally:
        _set_arrays(parameters, arrays)
    count = sum(parameter.size for parameter in parameters)
    trained = sum(parameter.size for parameter in parameters if not parameter.frozen)
    kept = [row.shapes for row in rows if row.needs_gradient]
    copy_bytes = policy.compute.itemsize if policy.compute != policy.parameters else 0  # of weights to compute with
    return ShapeReport(
        rows=tuple(rows),
        parameters=count,
        parameter_bytes=count * policy.parameters.itemsize,
        training_bytes=count * (policy.parameters.itemsize + copy_bytes)
        + trained * (2 * policy.parameters.itemsize + policy.gradients.itemsize),
        activation_bytes=sum(shapes.out.nbytes + shapes.cache_bytes for shapes in kept),
        flop=sum(row.shapes.flop for row in rows) + sum(shapes.backward_flop for shapes in kept),
    )


def _set_arrays(parameters: list[Parameter], arrays: list[Any]) -> None:
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.array = array
