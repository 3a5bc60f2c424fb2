"""Trading time for memory: an operation's inputs are kept, what it computed inside is computed again in the backward.

Chen et al.: "Training Deep Nets with Sublinear Memory Cost", 2016.
"""

from collections.abc import Callable
from typing import Any

from .tape import Node, is_recording, no_grad, recording, walk
from .tensor import Tensor


def recompute(function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """`function(*args, **kwargs)` as one entry of the tape, which runs the function again in the backward.

    The function must be pure: the same arguments, the same result (dropout keeps this, its masks are a function of the
    key). Gradients of parameters inside are added to them while the function is walked again.
    """
    with no_grad():
        out = function(*args, **kwargs)
    if not is_recording() or not isinstance(out.array, type(args[0].array)):
        return out  # evaluation, or a dry pass over shapes

    def backward(dy, cache, *, needs, into=None, owned=False):
        fresh = [Tensor(arg.array, requires_grad=need) for arg, need in zip(tensors, needs, strict=True)]
        replaced = iter(fresh)
        with recording():
            again = function(*(next(replaced) if isinstance(arg, Tensor) else arg for arg in args), **kwargs)
        if again.node is not None:
            walk(again.node, dy)
        return tuple(tensor.grad for tensor in fresh)

    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    result = Tensor(out.array)
    result.node = Node("recompute", backward, tuple(tensor.array for tensor in tensors), out.shape)
    for index, tensor in enumerate(tensors):
        source = (tensor.node or tensor) if tensor.requires_grad else None
        result.node.add_input(f"argument {index}", source, tensor.shape)
        result.node.watch(f"argument {index}", tensor.array, tensor.version)
    return result
