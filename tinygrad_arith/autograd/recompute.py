"""Trading time for memory: a function's inputs are kept, what it computes inside is computed again in the backward.

Chen et al.: "Training Deep Nets with Sublinear Memory Cost", 2016.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ..backend import array_module
from .differentiable import is_tracing
from .tape import is_recording, no_grad, record, recording, walk
from .tensor import Tensor


def recompute(function: Callable[..., Tensor], *args: Any, parameters: Sequence[Tensor] = (), **kwargs: Any) -> Tensor:
    """`function(*args, **kwargs)` as one entry of the tape, which runs the function again in the backward.

    The function must be pure: the same arguments, the same result (dropout keeps this, its masks are a function of the
    key).

    parameters: the leaves with gradients that the function uses beside its arguments
    """
    if is_tracing():
        return function(*args, **kwargs)
    with no_grad():
        out = function(*args, **kwargs)
    arguments = {**{str(index): arg for index, arg in enumerate(args)}, **kwargs}
    inputs = {name: value for name, value in arguments.items() if isinstance(value, Tensor)}
    leaves = [*inputs.values(), *parameters]
    if not is_recording() or not any(tensor.requires_grad for tensor in leaves):
        return out

    def backward(dy, cache, *, needs, into=None, owned=False):
        fresh = {n: Tensor(t.array, requires_grad=t.requires_grad) for n, t in inputs.items()}
        again = {**arguments, **fresh}
        with recording():
            repeated = function(*(again[str(index)] for index in range(len(args))), **{n: again[n] for n in kwargs})
        return _gradients(repeated, dy, [*fresh.values(), *parameters])

    result = Tensor(out.array)
    names = [*inputs, *(f"parameter {index}" for index in range(len(parameters)))]
    record("recompute", backward, tuple(tensor.array for tensor in inputs.values()), result, names, leaves)
    return result


def _gradients(out: Tensor, dy: Any, leaves: list[Tensor]) -> tuple:
    """The gradients that a walk from `out` brings to each leaf; what the leaves held before is put back."""
    held = [(leaf.grad, leaf.stale) for leaf in leaves]
    for leaf in leaves:
        leaf.grad, leaf.stale = None, False
    if out.node is not None:
        walk(out.node, dy)
    gradients = tuple(
        array_module(leaf.array).zeros_like(leaf.array) if leaf.grad is None else leaf.grad for leaf in leaves
    )
    for leaf, before in zip(leaves, held, strict=True):
        leaf.grad, leaf.stale = before
    return gradients
