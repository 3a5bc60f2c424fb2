"""SiLU and the gated feed-forward network on the GPU: GEMM by cuBLASLt, one pass for the gate each way."""

from typing import Any

import numpy as np

from ..ops.fast import FusedGatedFfnCache, always, ffn_gradients
from ..ops.registry import Implementation, register
from ..ops.silu import SiluCache
from .elements import C_NAMES, DTYPES, contiguous, contiguous_like, rows_of, run_over
from .gemm import gemm
from .linear import affine, all_given, gradients_aside
from .source import Build, cupy


def build_for(dtype: np.dtype) -> Build:
    """The kernels of silu.cu."""
    return Build("silu.cu", (("ELEMENT", C_NAMES[dtype]),))


def silu_forward(x):
    """See `ops.silu`."""
    x = contiguous(x)
    y = cupy.empty_like(x)  # (...)
    run_over(build_for(x.dtype).kernel("silu_forward"), (x, y))
    return y, SiluCache(x)


def silu_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.silu`."""
    dy = contiguous(dy)
    dx = cupy.empty_like(dy)  # (...)
    run_over(build_for(dy.dtype).kernel("silu_backward"), (dy, cache.x, dx))
    return (dx,)


def run_gate(name: str, arrays: tuple[Any, ...], columns: int) -> None:
    """Launches a pass over products (N, F), the first of the arrays, and hidden layers (N, 2F)."""
    run_over(build_for(arrays[0].dtype).kernel(name), arrays, columns, row=columns)


def gated_ffn_forward(x, w1, b1, w2, b2, activation="silu"):
    """See `ops.gated_ffn`."""
    hidden = affine(rows_of(x), w1, b1)  # (N, 2F)
    product = cupy.empty((len(hidden), len(w2)), dtype=x.dtype)  # (N, F)
    run_gate("silu_gate", (product, hidden), len(w2))
    y = affine(product, w2, b2)  # (N, D)
    cache = FusedGatedFfnCache(x, w1, w2, hidden, product, (b1 is not None, b2 is not None))
    return y.reshape(*x.shape[:-1], w2.shape[1]), cache


def gated_ffn_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.gated_ffn`."""
    x, w1, w2, hidden, product, _ = cache
    rows, dy = rows_of(x), rows_of(dy)  # (N, C), (N, D)
    gradients, apart = ffn_gradients(into, cache, contiguous_like), all_given(into)
    gradients_aside(product, dy, gradients.dw2, gradients.db2, apart=apart)
    dproduct = gemm(dy, w2.T, cupy.empty_like(product))  # (N, F)
    dhidden = cupy.empty_like(hidden)  # (N, 2F)
    run_gate("silu_gate_backward", (dproduct, hidden, dhidden), len(w2))
    gradients_aside(rows, dhidden, gradients.dw1, gradients.db1, apart=apart)
    dx = gemm(dhidden, w1.T, cupy.empty_like(rows)).reshape(x.shape) if needs[0] else None  # (..., C)
    return (dx, *gradients.arrays())


def known_activation(x, w1, b1, w2, b2, activation="silu") -> bool:
    """SiLU, of layers that are not empty."""
    return activation == "silu" and x.size > 0


for _operation, _forward, _backward, _accepts in (
    ("silu", silu_forward, silu_backward, always),
    ("gated_ffn", gated_ffn_forward, gated_ffn_backward, known_activation),
):
    register(Implementation(_operation, "fused", "cuda", DTYPES, _forward, _backward, _accepts))

BUILDS = tuple(map(build_for, DTYPES))
