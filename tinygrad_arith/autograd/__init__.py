"""Tensors and the tape: any forward/backward pair becomes differentiable, and is walked once in reverse."""

from .tensor import Tensor  # isort: skip  (first: see the end of tensor.py)
from .differentiable import TraceRow, differentiable, is_tracing, trace_module, trace_shapes
from .operands import plain_array
from .tape import BackwardError, InPlaceError, is_recording, no_grad

__all__ = [
    "BackwardError",
    "InPlaceError",
    "Tensor",
    "TraceRow",
    "differentiable",
    "is_recording",
    "is_tracing",
    "no_grad",
    "plain_array",
    "trace_module",
    "trace_shapes",
]
