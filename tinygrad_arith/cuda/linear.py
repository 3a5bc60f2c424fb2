"""The linear layer and the feed-forward network on the GPU: GEMM by cuBLASLt, the rest in passes of one kernel.

As on the CPU: passes are in place where nobody else holds the array, gradients of parameters go straight into the flat
buffer, and an activation's derivative is saved instead of what it is computed from. Where cuBLASLt can, the kernel
of a GEMM also adds the bias, or sums the bias's gradient.
"""

from ..ops.fast import FusedFfnCache, always, destinations, ffn_gradients
from ..ops.linear import LinearCache
from ..ops.registry import Implementation, register
from . import passes
from .elements import DTYPES, contiguous, contiguous_like, rows_of
from .gemm import gemm, gemm_bias, gemm_column_sums
from .side_stream import on_side_stream
from .source import cupy


def affine(a, b, bias):  # a (M, K), b (K, N), bias (N,) or None
    """a @ b + bias, (M, N)."""
    out = cupy.empty((a.shape[0], b.shape[1]), dtype=a.dtype)  # (M, N)
    if bias is None:
        return gemm(a, b, out)
    bias = contiguous(bias)
    if not gemm_bias(a, b, out, bias):
        gemm(a, b, out)
        passes.add_bias(out, bias)
    return out


def parameter_gradients(x, dy, weight, bias=None):  # x (N, Cin), dy (N, Cout); weight, bias: (array, add)
    """Puts xᵀ dy into the weight's gradient and the column sums of dy into the bias's; `add` as in `Destination`."""
    dweight, add_weight = weight
    dbias, add_bias = bias or (None, False)
    if dbias is not None and not add_bias and gemm_column_sums(x.T, dy, dweight, add_weight, dbias):
        return
    gemm(x.T, dy, dweight, add_weight)
    if dbias is not None:
        passes.column_sum(dy, dbias, add_bias)


def gradients_aside(x, dy, weight, bias=None, *, apart: bool) -> None:
    """The same on the side stream, if nobody reads them before the backward ends."""
    with on_side_stream(x, dy, writes=tuple(place.array for place in (weight, bias) if place), when=apart):
        parameter_gradients(x, dy, weight, bias)


def all_given(into) -> bool:
    """Whether all parameter gradients go into the flat buffer, where nothing reads them before the backward ends."""
    return bool(into) and None not in into[1:]


def linear_forward(x, weight, bias=None):
    """See `ops.linear`."""
    y = affine(rows_of(x), weight, bias)  # (N, Cout)
    return y.reshape(*x.shape[:-1], weight.shape[1]), LinearCache(x, weight, bias is not None)


def linear_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.linear`."""
    x, weight, has_bias = cache
    rows, dy = rows_of(x), rows_of(dy)  # (N, Cin), (N, Cout)
    parameters = (weight, weight[0]) if has_bias else (weight,)  # weight[0] is shaped as the bias
    gradients = destinations(into and into[1:], parameters, contiguous_like)
    gradients_aside(rows, dy, *gradients, apart=all_given(into))
    dx = gemm(dy, weight.T, cupy.empty_like(rows)).reshape(x.shape) if needs[0] else None  # (..., Cin)
    return (dx, *(gradient for gradient, _ in gradients))


def ffn_forward(x, w1, b1, w2, b2, activation="gelu"):
    """See `ops.ffn`."""
    rows = rows_of(x)  # (N, C)
    hidden = gemm(rows, w1, cupy.empty((len(rows), w1.shape[1]), dtype=x.dtype))  # (N, F)
    slope, biases = None, (b1 is not None, b2 is not None)
    b1 = cupy.zeros(w1.shape[1], dtype=x.dtype) if b1 is None else contiguous(b1)  # (F,)
    if activation == "relu":
        passes.bias_relu(hidden, b1)
    else:
        slope = cupy.empty_like(hidden)  # (N, F)
        passes.bias_gelu(hidden, b1, slope, exact=activation == "gelu-exact")
    y = affine(hidden, w2, b2)  # (N, D)
    return y.reshape(*x.shape[:-1], w2.shape[1]), FusedFfnCache(x, w1, w2, hidden, slope, biases)


def ffn_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.ffn`."""
    x, w1, w2, activated, slope, _ = cache
    rows, dy = rows_of(x), rows_of(dy)  # (N, C), (N, D)
    gradients, apart = ffn_gradients(into, cache, contiguous_like), all_given(into)
    gradients_aside(activated, dy, gradients.dw2, gradients.db2, apart=apart)
    dhidden = gemm(dy, w2.T, cupy.empty_like(activated))  # (N, F)
    if slope is None:
        passes.relu_backward(dhidden, activated)
    else:
        passes.multiply_by(dhidden, slope)
    gradients_aside(rows, dhidden, gradients.dw1, gradients.db1, apart=apart)
    dx = gemm(dhidden, w1.T, cupy.empty_like(rows)).reshape(x.shape) if needs[0] else None  # (..., C)
    return (dx, *gradients.arrays())


def known_activation(x, w1, b1, w2, b2, activation="gelu") -> bool:
    """Those that have a pass; silu has one in the gated network only."""
    return activation in ("relu", "gelu", "gelu-exact")


for _operation, _forward, _backward, _accepts in (
    ("linear", linear_forward, linear_backward, always),
    ("ffn", ffn_forward, ffn_backward, known_activation),
):
    register(Implementation(_operation, "cublaslt", "cuda", DTYPES, _forward, _backward, _accepts))
