"""The feed-forward network on the CPU: all of it for one block of rows, while the hidden layer is in the cache."""

import numpy as np

from ..ops.fast import FusedFfnCache, ffn_gradients
from .gemm import gemm
from .linear import parameter_gradients
from .passes import passes
from .rows import blocks, rows_of


def known_activation(x, w1, b1, w2, b2, activation="gelu") -> bool:
    """Those that have a pass; gelu-exact and silu have none."""
    return activation in ("relu", "gelu")


def ffn_forward(x, w1, b1, w2, b2, activation="gelu"):
    """See `ops.ffn`."""
    rows = rows_of(x)  # (N, C)
    activated = np.empty((len(rows), w1.shape[1]), dtype=x.dtype)  # (N, F)
    slope = np.empty_like(activated) if activation == "gelu" else None  # (N, F)
    y = np.empty((len(rows), w2.shape[1]), dtype=x.dtype)  # (N, D)
    biases = b1 is not None, b2 is not None
    b1 = np.zeros(w1.shape[1], x.dtype) if b1 is None else b1  # (F,)
    for part in blocks(*activated.shape):
        hidden = gemm(rows[part], w1, activated[part])
        if slope is None:
            passes.bias_relu(hidden, b1)
        else:
            passes.bias_gelu(hidden, b1, slope[part])
        gemm(hidden, w2, y[part])
        if b2 is not None:
            passes.add_bias(y[part], b2)
    return y.reshape(*x.shape[:-1], w2.shape[1]), FusedFfnCache(x, w1, w2, activated, slope, biases)


def ffn_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.ffn`."""
    x, w1, w2, activated, slope, _ = cache
    rows, dy = rows_of(x), rows_of(dy)  # (N, C), (N, D)
    dx = np.empty_like(rows) if needs[0] else None  # (N, C)
    gradients = ffn_gradients(into, cache, np.empty_like)
    parts = blocks(*activated.shape)
    workspace = np.empty((parts[0].stop, w1.shape[1]), dtype=x.dtype)
    for part in parts:
        again = part.start > 0
        parameter_gradients(activated[part], dy[part], gradients.dw2, gradients.db2, again)
        dhidden = gemm(dy[part], w2.T, workspace[: part.stop - part.start])
        if slope is None:
            passes.relu_backward(dhidden, activated[part])
        else:
            dhidden *= slope[part]
        parameter_gradients(rows[part], dhidden, gradients.dw1, gradients.db1, again)
        if dx is not None:
            gemm(dhidden, w1.T, dx[part])
    return None if dx is None else dx.reshape(x.shape), *gradients.arrays()
