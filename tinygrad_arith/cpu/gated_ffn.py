"""The gated feed-forward network on the CPU: all of it for a block of rows, while the hidden layer is in the cache."""

import numpy as np

from ..ops.fast import FusedGatedFfnCache, ffn_gradients
from .gemm import gemm
from .linear import parameter_gradients
from .passes import passes
from .rows import blocks, rows_of


def known_activation(x, w1, b1, w2, b2, activation="silu") -> bool:
    """SiLU has a pass."""
    return activation == "silu"


def gated_ffn_forward(x, w1, b1, w2, b2, activation="silu"):
    """See `ops.gated_ffn`."""
    rows = rows_of(x)  # (N, C)
    hidden = np.empty((len(rows), w1.shape[1]), dtype=x.dtype)  # (N, 2F)
    product = np.empty((len(rows), len(w2)), dtype=x.dtype)  # (N, F)
    y = np.empty((len(rows), w2.shape[1]), dtype=x.dtype)  # (N, D)
    for part in blocks(*hidden.shape):
        gemm(rows[part], w1, hidden[part])
        if b1 is not None:
            passes.add_bias(hidden[part], b1)
        passes.silu_gate(hidden[part], product[part])
        gemm(product[part], w2, y[part])
        if b2 is not None:
            passes.add_bias(y[part], b2)
    cache = FusedGatedFfnCache(x, w1, w2, hidden, product, (b1 is not None, b2 is not None))
    return y.reshape(*x.shape[:-1], w2.shape[1]), cache


def gated_ffn_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.gated_ffn`."""
    x, w1, w2, hidden, product, _ = cache
    rows, dy = rows_of(x), rows_of(dy)  # (N, C), (N, D)
    dx = np.empty_like(rows) if needs[0] else None  # (N, C)
    gradients = ffn_gradients(into, cache, np.empty_like)
    parts = blocks(*hidden.shape)
    dproduct = np.empty((parts[0].stop, len(w2)), dtype=x.dtype)  # (n, F)
    dhidden = np.empty((parts[0].stop, w1.shape[1]), dtype=x.dtype)  # (n, 2F)
    for part in parts:
        again, count = part.start > 0, part.stop - part.start
        parameter_gradients(product[part], dy[part], gradients.dw2, gradients.db2, again)
        gemm(dy[part], w2.T, dproduct[:count])
        passes.silu_gate_backward(dproduct[:count], hidden[part], dhidden[:count])
        parameter_gradients(rows[part], dhidden[:count], gradients.dw1, gradients.db1, again)
        if dx is not None:
            gemm(dhidden[:count], w1.T, dx[part])
    return None if dx is None else dx.reshape(x.shape), *gradients.arrays()
