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
    (dweight, add), *bias = destinations(into and into[1:], parameters, np.empty_like)
    for part in blocks(*dy.shape):
        again = part.start > 0
        if bias:
            passes.column_sum(dy[part], bias[0][0], bias[0][1] or again)
        if dx is not None:
            gemm(dy[part], weight.T, dx[part])
        gemm(rows[part].T, dy[part], dweight, add or again)
    dx = None if dx is None else dx.reshape(x.shape)
    return (dx, dweight, *(dbias for dbias, _ in bias))
