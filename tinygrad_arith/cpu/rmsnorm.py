"""Root-mean-square normalisation on the CPU: one pass each way."""

import numpy as np

from ..ops.fast import RMSNormInputCache, destinations
from .passes import passes
from .rows import rows_of


def rmsnorm_forward(x, weight, eps=1e-5):
    """See `ops.rmsnorm`."""
    rows = rows_of(x)  # (N, C)
    y, rrms = np.empty_like(rows), np.empty(len(rows), dtype=x.dtype)  # (N, C), (N,)
    passes.rmsnorm_forward(rows, weight, eps, y, rrms)
    return y.reshape(x.shape), RMSNormInputCache(rows, rrms, weight)


def rmsnorm_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.rmsnorm`."""
    x, rrms, weight = cache
    dx = np.empty_like(x)  # (N, C)
    ((dweight, add),) = destinations(into and into[1:], (weight,), np.empty_like)
    if not add:
        dweight[:] = 0.0
    passes.rmsnorm_backward(rows_of(dy), x, rrms, weight, dx, dweight)
    return dx.reshape(dy.shape), dweight
