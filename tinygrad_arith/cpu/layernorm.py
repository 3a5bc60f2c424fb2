"""Layer normalisation on the CPU: one pass each way."""

import numpy as np

from ..ops.fast import LayerNormInputCache, destinations
from .passes import passes
from .rows import rows_of


def layernorm_forward(x, weight, bias, eps=1e-5):
    """See `ops.layernorm`."""
    rows = rows_of(x)  # (N, C)
    y = np.empty_like(rows)  # (N, C)
    mean, rstd = np.empty((2, len(rows)), dtype=x.dtype)  # (N,), (N,)
    passes.layernorm_forward(rows, weight, bias, eps, y, mean, rstd)
    return y.reshape(x.shape), LayerNormInputCache(rows, mean, rstd, weight)


def layernorm_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.layernorm`."""
    x, mean, rstd, weight = cache
    dx = np.empty_like(x)  # (N, C)
    (dweight, add_weight), (dbias, add_bias) = destinations(into and into[1:], (weight, weight), np.empty_like)
    if not add_weight:
        dweight[:] = 0.0
    if not add_bias:
        dbias[:] = 0.0
    passes.layernorm_backward(rows_of(dy), x, mean, rstd, weight, dx, dweight, dbias)
    return dx.reshape(dy.shape), dweight, dbias
