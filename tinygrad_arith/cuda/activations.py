"""gelu (tanh form), relu and the sum of a residual connection on the GPU: one pass each, 16 bytes at a time."""

from typing import Any, NamedTuple

from ..ops.arithmetic import ShapesCache
from ..ops.relu import ReluCache
from .elements import contiguous, run_over
from .passes import column_sum, elementwise, gelu
from .source import cupy


class GeluInputCache(NamedTuple):
    """Saved by reference: the input. The slope is computed again: cheaper than reading it."""

    x: Any  # (...)


def gelu_forward(x):
    """See `ops.gelu`."""
    x = contiguous(x)
    y = cupy.empty_like(x)  # (...)
    run_over(gelu(x.dtype).kernel("gelu_forward"), (x, y))
    return y, GeluInputCache(x)


def gelu_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.gelu`."""
    dy = contiguous(dy)
    dx = cupy.empty_like(dy)  # (...)
    run_over(gelu(dy.dtype).kernel("gelu_backward"), (dy, cache.x, dx))
    return (dx,)


def relu_forward(x):
    """See `ops.relu`."""
    x = contiguous(x)
    y = cupy.empty_like(x)  # (...)
    run_over(elementwise(x.dtype).kernel("relu_forward"), (x, y))
    return y, ReluCache(y)


def relu_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.relu`."""
    dy = contiguous(dy)
    dx = cupy.empty_like(dy)  # (...)
    run_over(elementwise(dy.dtype).kernel("relu_backward"), (dy, cache.y, dx))
    return (dx,)


def add_forward(a, b):
    """See `ops.arithmetic`."""
    a, b = contiguous(a), contiguous(b)
    y = cupy.empty_like(a)  # (...)
    if a.shape == b.shape:
        run_over(elementwise(a.dtype).kernel("add"), (a, b, y))
    else:
        run_over(elementwise(a.dtype).kernel("add_row"), (a, b, y), b.size, row=b.size)
    return y, ShapesCache(a.shape, b.shape)


def add_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.arithmetic`. Where nothing was repeated, both gradients are dy itself."""
    if cache.a_shape == cache.b_shape:
        return dy, dy
    if not needs[1]:
        return dy, None
    db = cupy.empty(cache.b_shape, dtype=dy.dtype)  # (...)
    column_sum(contiguous(dy).reshape(-1, db.size), db.reshape(-1), False)
    return dy, db


def adds_rows(a, b) -> bool:
    """Equal shapes, or b repeated along leading axes of a."""
    return a.shape == b.shape or (0 < b.ndim < a.ndim and a.shape[-b.ndim :] == b.shape and b.size > 0)
