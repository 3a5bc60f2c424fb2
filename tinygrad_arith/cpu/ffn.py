"""The feed-forward network on the CPU: all of it for one block of rows, while the hidden layer is in the cache."""

import numpy as np

from ..ops.fast import FusedFfnCache, destinations
from .gemm import gemm
from .passes import passes
from .rows import blocks, rows_of


def known_activation(x, w1, b1, w2, b2, activation="gelu") -> bool:
    """Those that have a pass; gelu-exact has none."""
    return activation in ("relu", "gelu")


def ffn_forward(x, w1, b1, w2, b2, activation="gelu"):
    """See `ops.ffn`."""
    rows = rows_of(x)  # (N, C)
    activated = np.empty((len(rows), w1.shape[1]), dtype=x.dtype)  # (N, F)
    slope = np.empty_like(activated) if activation == "gelu" else None  # (N, F)
    y = np.empty_like(rows)  # (N, C)
    for part in blocks(*activated.shape):
        hidden = gemm(rows[part], w1, activated[part])
        if slope is None:
            passes.bias_relu(hidden, b1)
        else:
            passes.bias_gelu(hidden, b1, slope[part])
        gemm(hidden, w2, y[part])
        passes.add_bias(y[part], b2)
    return y.reshape(x.shape), FusedFfnCache(x, w1, w2, activated, slope)


def ffn_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.ffn`."""
    x, w1, w2, activated, slope = cache
    rows, dy = rows_of(x), rows_of(dy)  # (N, C), (N, C)
    dx = np.empty_like(rows) if needs[0] else None  # (N, C)
    gradients = destinations(into and into[1:], (w1, w1[0], w2, w2[0]), np.empty_like)
    (dw1, add_w1), (db1, add_b1), (dw2, add_w2), (db2, add_b2) = gradients
    parts = blocks(*activated.shape)
    workspace = np.empty((parts[0].stop, w1.shape[1]), dtype=x.dtype)
    for part in parts:
        again = part.start > 0
        passes.column_sum(dy[part], db2, add_b2 or again)
        gemm(activated[part].T, dy[part], dw2, add_w2 or again)
        dhidden = gemm(dy[part], w2.T, workspace[: part.stop - part.start])
        if slope is None:
            passes.relu_backward(dhidden, activated[part])
        else:
            dhidden *= slope[part]
        passes.column_sum(dhidden, db1, add_b1 or again)
        if dx is not None:
            gemm(dhidden, w1.T, dx[part])
        gemm(rows[part].T, dhidden, dw1, add_w1 or again)
    return None if dx is None else dx.reshape(x.shape), dw1, db1, dw2, db2
