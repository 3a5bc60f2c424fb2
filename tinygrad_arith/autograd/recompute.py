"""Trading time for memory: a function's inputs are kept, what it computes inside is computed again in the backward.

Chen et al.: "Training Deep Nets with Sublinear Memory Cost", 2016, arXiv 1604.06174.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from ..backend import array_module
from .differentiable import is_tracing
from .tape import BackwardError, is_recording, no_grad, record, recording, walk
from .tensor import Tensor


def recompute(function: Callable[..., Tensor], *args: Any, parameters: Sequence[Tensor] = (), **kwargs: Any) -> Tensor:
    """`function(*args, **kwargs)` as one entry of the tape, which runs the function again in the backward.

    The function must be pure: the same arguments, the same result (dropout keeps this, its masks are a function of the
    key).

    parameters: the leaves with gradients that the function uses beside its arguments; those of a module, given as the
                function itself or by a method, are taken from it

    Raises BackwardError where there are such leaves, and nothing tells of them.
    """
    if is_tracing():
        return function(*args, **kwargs)
    parameters = parameters or _parameters_of(function)
    wanted = any(tensor.requires_grad for tensor in (*_tensors_in((args, kwargs)), *parameters))
    with nullcontext() if is_recording() and not wanted else no_grad():
        out = function(*args, **kwargs)
    if not wanted and is_recording() and out.requires_grad:
        raise BackwardError("recompute: the function uses tensors with gradients: give them as `parameters`")
    if not wanted or not is_recording():
        return out
    args, kwargs = _own((args, kwargs))
    inputs = list(_tensors_in((args, kwargs)))
    leaves = [*inputs, *parameters]

    def backward(dy, cache, *, needs, into=None, owned=False):
        fresh = [Tensor(tensor.array, requires_grad=tensor.requires_grad) for tensor in inputs]
        again, named = _replaced((args, kwargs), iter(fresh))
        with recording():
            repeated = function(*again, **named)
        return _gradients(repeated, dy, [*fresh, *parameters], into or (None,) * len(leaves))

    result = Tensor(out.array)
    names = [f"argument {index}" for index in range(len(inputs))]
    names += [f"parameter {index}" for index in range(len(parameters))]
    saved = {name: leaf.array for name, leaf in zip(names, leaves, strict=True)}
    record("recompute", backward, saved, result, names, leaves)
    return result


def _parameters_of(function: Callable[..., Any]) -> Sequence[Tensor]:
    """Those of a module, or of the one whose method this is; of other functions none are known."""
    named = getattr(getattr(function, "__self__", function), "named_parameters", None)
    return () if named is None else tuple(named().values())


def _own(arguments: Any) -> Any:
    """The arguments with indices and masks copied, arrays or tensors: their owner may change them."""
    if isinstance(arguments, dict):
        return {name: _own(item) for name, item in arguments.items()}
    if type(arguments) in (list, tuple):
        return type(arguments)(_own(item) for item in arguments)
    if isinstance(arguments, Tensor):
        return Tensor(arguments.array.copy()) if arguments.dtype.kind in "biu" else arguments
    is_index = isinstance(getattr(arguments, "dtype", None), np.dtype) and arguments.dtype.kind in "biu"
    return arguments.copy() if is_index and hasattr(arguments, "copy") else arguments


def _tensors_in(arguments: Any) -> Iterator[Tensor]:
    """The tensors among the arguments, also inside lists, tuples and dicts."""
    if isinstance(arguments, Tensor):
        yield arguments
    elif isinstance(arguments, dict) or type(arguments) in (list, tuple):
        for item in arguments.values() if isinstance(arguments, dict) else arguments:
            yield from _tensors_in(item)


def _replaced(arguments: Any, tensors: Iterator[Tensor]) -> Any:
    """The same arguments with these tensors in the places of theirs, in the order of `_tensors_in`."""
    if isinstance(arguments, Tensor):
        return next(tensors)
    if isinstance(arguments, dict):
        return {name: _replaced(item, tensors) for name, item in arguments.items()}
    if type(arguments) in (list, tuple):
        return type(arguments)(_replaced(item, tensors) for item in arguments)
    return arguments


def _gradients(out: Tensor, dy: Any, leaves: list[Tensor], into: Sequence[Any]) -> tuple:
    """The gradients that a walk from `out` brings to each leaf; what the leaves held before is put back.

    into: for each leaf the `Destination` of its gradient, or None. Where there is one the walk inside brings the
          gradient there itself, in the buffer's dtype, as it would without recomputation.
    """
    apart = [leaf for leaf, destination in zip(leaves, into, strict=True) if destination is None]
    held = [(leaf.grad, leaf.stale) for leaf in apart]
    for leaf in apart:
        leaf.grad, leaf.stale = None, False
    if out.node is not None:
        walk(out.node, dy)
    elif out.requires_grad:  # the function returns one of them as it is
        out.accumulate_gradient(dy)
    for leaf in leaves:
        if leaf.grad is None:
            leaf.grad = array_module(leaf.array).zeros_like(leaf.array)
        elif leaf.stale:  # the walk did not come to it
            leaf.grad[...] = 0
    gradients = tuple(leaf.grad for leaf in leaves)
    for leaf, before in zip(apart, held, strict=True):
        leaf.grad, leaf.stale = before
    return gradients
