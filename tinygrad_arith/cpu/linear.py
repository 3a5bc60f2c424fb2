"""The linear layer on the CPU: GEMM by BLAS, block by block, so that the bias finds its rows in the cache."""

import numpy as np

from ..ops.fast import destinations
from ..ops.linear import LinearCache
from .gemm import gemm
from .passes import passes
from .rows import blocks, rows_of


def linear_forward(x, weight, bias=None):
    """See `ops.linear`."""
    rows = rows_of(x)  # (N, Cin)
    y = np.empty((len(rows), weight.shape[1]), dtype=x.dtype)  # (N, Cout)
    for part in blocks(*y.shape):
        gemm(rows[part], weight, y[part])
        if bias is not None:
            passes.add_bias(y[part], bias)
    return y.reshape(*x.shape[:-1], weight.shape[1]), LinearCache(x, weight, bias is not None)


def linear_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.linear`."""
    x, weight, has_bias = cache
    rows, dy = rows_of(x), rows_of(dy)  # (N, Cin), (N, Cout)
    dx = np.empty_like(rows) if needs[0] else None  # (N, Cin)
    parameters = (weight, weight[0]) if has_bias else (weight,)  # weight[0] is shaped as the bias
    gradients = destinations(into and into[1:], parameters, np.empty_like)
    dweight, dbias = gradients if has_bias else (*gradients, None)
    for part in blocks(*dy.shape):
        parameter_gradients(rows[part], dy[part], dweight, dbias, part.start > 0)
        if dx is not None:
            gemm(dy[part], weight.T, dx[part])
    return None if dx is None else dx.reshape(x.shape), *(place.array for place in gradients)


def parameter_gradients(x, dy, weight, bias, again):  # x (n, Cin), dy (n, Cout)
    """Of a block of rows: xᵀ dy into the weight's gradient, the sums over dy into the bias's, if there is one.

    again: adds to what the blocks before have put there
    """
    if bias is not None:
        passes.column_sum(dy, bias.array, bias.add or again)
    gemm(x.T, dy, weight.array, weight.add or again)
