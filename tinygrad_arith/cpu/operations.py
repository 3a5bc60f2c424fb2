"""The operations of a training step on the CPU in float32: BLAS for the products, one pass each for the rest.

They differ from the textbook in three ways: passes are in place where nobody else holds the array, nothing is copied
that can be read or written where it lies, and an activation's derivative is saved instead of what it is computed from.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..ops.embedding import embedding_forward
from ..ops.registry import Implementation, not_differentiable, register
from ..ops.rotary import turns
from . import passes_numpy
from .parts import in_parts
from .products import NUMPY_ALONE, multiply

DTYPES = (np.dtype(np.float32),)
BLOCK_ELEMENTS = 1 << 18  # in float32 1 MiB: half of a core's own cache today
LEAST_ROWS = 256  # of a matrix product: with fewer, reading the weights costs more than the cache saves


class Passes(NamedTuple):
    """Which of the twins runs: its name, and the module."""

    name: str
    module: Any


def choose_passes() -> Passes:
    """Numba's if it is installed, else NumPy's."""
    if NUMPY_ALONE:
        return Passes("numpy", passes_numpy)
    try:
        from . import passes_numba
    except ImportError:
        return Passes("numpy", passes_numpy)
    return Passes("numba", passes_numba)


chosen = choose_passes()
passes = chosen.module


def rows_of(x):  # (..., C) -> (N, C), contiguous
    """Every position as a row; copied only if it does not lie so already."""
    return np.ascontiguousarray(x.reshape(-1, x.shape[-1]))


def blocks(rows: int, row_elements: int, least: int = LEAST_ROWS) -> list[slice]:
    """Parts of range(rows), each as many rows as stay in a core's own cache between one pass and the next."""
    step = max(BLOCK_ELEMENTS // max(row_elements, 1), least)
    return [slice(start, min(start + step, rows)) for start in range(0, max(rows, 1), step)]


def destinations(into, arrays):
    """For each array whose gradient is to be made: where it goes, and whether it is added to what is there."""
    into = into or (None,) * len(arrays)
    return [
        (np.empty_like(array, order="K"), False) if destination is None else destination
        for destination, array in zip(into, arrays, strict=True)
    ]


class LinearCache(NamedTuple):
    """As the textbook's: both inputs by reference."""

    x: Any  # (..., Cin)
    weight: Any  # (Cin, Cout)


def linear_forward(x, weight, bias=None):
    """See `ops.linear`."""
    rows = rows_of(x)  # (N, Cin)
    y = np.empty((len(rows), weight.shape[1]), dtype=x.dtype)  # (N, Cout)
    for part in blocks(*y.shape):
        multiply(rows[part], weight, y[part])
        if bias is not None:
            passes.add_bias(y[part], bias)
    return y.reshape(*x.shape[:-1], weight.shape[1]), LinearCache(x, weight)


def linear_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.linear`."""
    x, weight = cache
    rows, dy = rows_of(x), rows_of(dy)  # (N, Cin), (N, Cout)
    dx = np.empty_like(rows) if needs[0] else None  # (N, Cin)
    (dweight, add), *bias = destinations(into and into[1:], (weight, weight[0])[: len(needs) - 1])
    for part in blocks(*dy.shape):
        again = part.start > 0
        if bias:
            passes.column_sum(dy[part], bias[0][0], bias[0][1] or again)
        if dx is not None:
            multiply(dy[part], weight.T, dx[part])
        multiply(rows[part].T, dy[part], dweight, add or again)
    dx = None if dx is None else dx.reshape(x.shape)
    return (dx, dweight, *(dbias for dbias, _ in bias))


class LayerNormCache(NamedTuple):
    """Saved: two numbers a row; the input by reference, normalised again in the backward."""

    x: Any  # (N, C)
    mean: Any  # (N,)
    rstd: Any  # (N,)
    weight: Any  # (C,)


def layernorm_forward(x, weight, bias, eps=1e-5):
    """See `ops.layernorm`."""
    rows = rows_of(x)  # (N, C)
    y = np.empty_like(rows)  # (N, C)
    mean, rstd = np.empty((2, len(rows)), dtype=x.dtype)  # (N,), (N,)
    passes.layernorm_forward(rows, weight, bias, eps, y, mean, rstd)
    return y.reshape(x.shape), LayerNormCache(rows, mean, rstd, weight)


def layernorm_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.layernorm`."""
    x, mean, rstd, weight = cache
    dx = np.empty_like(x)  # (N, C)
    (dweight, add_weight), (dbias, add_bias) = destinations(into and into[1:], (weight, weight))
    if not add_weight:
        dweight[:] = 0.0
    if not add_bias:
        dbias[:] = 0.0
    passes.layernorm_backward(rows_of(dy), x, mean, rstd, weight, dx, dweight, dbias)
    return dx.reshape(dy.shape), dweight, dbias


class RMSNormCache(NamedTuple):
    """Saved: one number a row; the input by reference, normalised again in the backward."""

    x: Any  # (N, C)
    rrms: Any  # (N,)
    weight: Any  # (C,)


def rmsnorm_forward(x, weight, eps=1e-5):
    """See `ops.rmsnorm`."""
    rows = rows_of(x)  # (N, C)
    y, rrms = np.empty_like(rows), np.empty(len(rows), dtype=x.dtype)  # (N, C), (N,)
    passes.rmsnorm_forward(rows, weight, eps, y, rrms)
    return y.reshape(x.shape), RMSNormCache(rows, rrms, weight)


def rmsnorm_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.rmsnorm`."""
    x, rrms, weight = cache
    dx = np.empty_like(x)  # (N, C)
    ((dweight, add),) = destinations(into and into[1:], (weight,))
    if not add:
        dweight[:] = 0.0
    passes.rmsnorm_backward(rows_of(dy), x, rrms, weight, dx, dweight)
    return dx.reshape(dy.shape), dweight


class FfnCache(NamedTuple):
    """Saved: the hidden layer once (relu) or twice (gelu: activation and slope); x and the weights by reference."""

    x: Any  # (..., C)
    w1: Any  # (C, F)
    w2: Any  # (F, C)
    activated: Any  # (N, F)
    slope: Any  # (N, F) or None


def ffn_forward(x, w1, b1, w2, b2, activation="gelu"):
    """See `ops.ffn`."""
    rows = rows_of(x)  # (N, C)
    activated = np.empty((len(rows), w1.shape[1]), dtype=x.dtype)  # (N, F)
    slope = np.empty_like(activated) if activation == "gelu" else None  # (N, F)
    y = np.empty_like(rows)  # (N, C)
    for part in blocks(*activated.shape):
        hidden = multiply(rows[part], w1, activated[part])
        if slope is None:
            passes.bias_relu(hidden, b1)
        else:
            passes.bias_gelu(hidden, b1, slope[part])
        multiply(hidden, w2, y[part])
        passes.add_bias(y[part], b2)
    return y.reshape(x.shape), FfnCache(x, w1, w2, activated, slope)


def ffn_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.ffn`."""
    x, w1, w2, activated, slope = cache
    rows, dy = rows_of(x), rows_of(dy)  # (N, C), (N, C)
    dx = np.empty_like(rows) if needs[0] else None  # (N, C)
    gradients = destinations(into and into[1:], (w1, w1[0], w2, w2[0]))
    (dw1, add_w1), (db1, add_b1), (dw2, add_w2), (db2, add_b2) = gradients
    parts = blocks(*activated.shape)
    workspace = np.empty((parts[0].stop, w1.shape[1]), dtype=x.dtype)
    for part in parts:
        again = part.start > 0
        passes.column_sum(dy[part], db2, add_b2 or again)
        multiply(activated[part].T, dy[part], dw2, add_w2 or again)
        dhidden = multiply(dy[part], w2.T, workspace[: part.stop - part.start])
        if slope is None:
            passes.relu_backward(dhidden, activated[part])
        else:
            dhidden *= slope[part]
        passes.column_sum(dhidden, db1, add_b1 or again)
        if dx is not None:
            multiply(dhidden, w1.T, dx[part])
        multiply(rows[part].T, dhidden, dw1, add_w1 or again)
    return None if dx is None else dx.reshape(x.shape), dw1, db1, dw2, db2


class PackedAttentionCache(NamedTuple):
    """Saved: the probabilities; the packed projection by reference."""

    qkv: Any  # (B, T, 3 NH HS)
    probabilities: Any  # (B, NH, T, T)
    scale: float


def heads_of(qkv, heads):  # (B, T, 3 NH HS) -> three views (B, NH, T, HS)
    """Queries, keys and values where they lie."""
    batch, positions, channels = qkv.shape
    parts = qkv.reshape(batch, positions, 3, heads, channels // (3 * heads))
    return parts.transpose(2, 0, 3, 1, 4)


def packed_attention_forward(qkv, heads, *, kv_heads=None, causal=True, key_mask=None, lengths=None, scale=None):
    """See `ops.packed_attention`."""
    qkv = np.ascontiguousarray(qkv)
    q, k, v = heads_of(qkv, heads)  # (B, NH, T, HS) each
    batch, _, positions, head_size = q.shape
    scale = 1.0 / math.sqrt(head_size) if scale is None else scale
    probabilities = np.empty((batch, heads, positions, positions), dtype=qkv.dtype)  # (B, NH, T, T)
    out = np.empty((batch, positions, heads, head_size), dtype=qkv.dtype)  # (B, T, NH, HS)
    for part in blocks(batch, heads * positions * positions, least=1):
        p = np.matmul(q[part], k[part].swapaxes(-1, -2), out=probabilities[part])
        passes.causal_softmax(p.reshape(-1, positions, positions), scale)
        np.matmul(p, v[part], out=out[part].transpose(0, 2, 1, 3))
    return out.reshape(batch, positions, heads * head_size), PackedAttentionCache(qkv, probabilities, scale)


def packed_attention_backward(dout, cache, *, needs, into=None, owned=False):
    """See `ops.packed_attention`."""
    qkv, probabilities, scale = cache
    batch, heads, positions, _ = probabilities.shape
    q, k, v = heads_of(qkv, heads)  # (B, NH, T, HS) each
    dqkv = np.empty_like(qkv)  # (B, T, 3 NH HS)
    dq, dk, dv = heads_of(dqkv, heads)
    dout = dout.reshape(batch, positions, heads, -1).transpose(0, 2, 1, 3)  # (B, NH, T, HS)
    square = (-1, positions, positions)
    for part in blocks(batch, 2 * heads * positions * positions, least=1):
        p = probabilities[part]  # (b, NH, T, T)
        dscores = np.matmul(dout[part], v[part].swapaxes(-1, -2))  # (b, NH, T, T), dprobabilities first
        np.matmul(p.swapaxes(-1, -2), dout[part], out=dv[part])
        passes.softmax_backward(dscores.reshape(square), p.reshape(square), scale)
        np.matmul(dscores, k[part], out=dq[part])
        np.matmul(dscores.swapaxes(-1, -2), q[part], out=dk[part])
    return (dqkv,)


def plain_causal(qkv, heads, *, kv_heads=None, causal=True, key_mask=None, lengths=None, scale=None) -> bool:
    """Causal, nothing padded, as many key/value heads as heads, not empty."""
    return causal and qkv.size > 0 and key_mask is None and lengths is None and kv_heads in (None, heads)


class RotaryCache(NamedTuple):
    """Saved: the cosine and sine of every angle once, and which are a row's own."""

    index: Any  # (B T,) int
    cos: Any  # (P, HS/2)
    sin: Any  # (P, HS/2)
    heads: int  # of a row, of which the first `turned` are turned
    turned: int


def turn_heads(x, positions, heads, turned, base):  # x (B, T, heads, HS) or (B, T, heads HS)
    """x with the first `turned` of its heads turned by their positions, (T,) or (B, T), and the cache."""
    rows = x.reshape(-1, heads, x.size // (x.shape[0] * x.shape[1] * heads))  # (B T, heads, HS)
    places, index = places_of(positions)  # (P,), as positions
    cos, sin = turns(x, places, rows.shape[2], base)  # (P, 1, HS/2) each
    index = np.broadcast_to(index, x.shape[:2]).reshape(-1)  # (B T,)
    cache = RotaryCache(index, cos[:, 0], sin[:, 0], heads, turned)
    y = np.empty_like(rows, order="C")  # (B T, heads, HS)
    passes.turn(np.ascontiguousarray(rows), y, turned, index, cache.cos, cache.sin)
    return y.reshape(x.shape), cache


def places_of(positions):
    """The positions whose angles are to be made (P,), and for each of the positions given its index among them.

    Those of a batch are few numbers many times over.
    """
    first, last = int(positions.min()), int(positions.max())
    if last - first < positions.size:
        return np.arange(first, last + 1), positions - first
    return positions.reshape(-1), np.arange(positions.size).reshape(positions.shape)


def rotary_forward(x, positions, base=10000.0):
    """See `ops.rotary`."""
    return turn_heads(x, positions, x.shape[2], x.shape[2], base)


def packed_rotary_forward(qkv, positions, heads, *, kv_heads=None, base=10000.0):
    """See `ops.packed_rotary`."""
    kv_heads = kv_heads or heads
    return turn_heads(qkv, positions, heads + 2 * kv_heads, heads + kv_heads, base)


def rotary_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.rotary`: turned back by the same angles."""
    index, cos, sin, heads, turned = cache
    rows = np.ascontiguousarray(dy).reshape(len(index), heads, -1)  # (B T, heads, HS)
    dx = np.empty_like(rows)  # (B T, heads, HS)
    passes.turn(rows, dx, turned, index, cos, -sin)
    return (dx.reshape(dy.shape),)


packed_rotary_backward = rotary_backward  # which heads are turned is in the cache


def not_empty(**arguments) -> bool:
    """Something to turn."""
    return all(value.size > 0 for value in arguments.values() if isinstance(value, np.ndarray))


def embedding_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.embedding`."""
    destination = into[0] if into else None
    dtable, add = destination or (np.empty(cache.table_shape, dtype=dy.dtype), False)  # (V, C)
    if not add:
        dtable.fill(0.0)
    passes.embedding_backward(rows_of(dy), np.ascontiguousarray(cache.ids).reshape(-1), dtable)
    return (dtable,)


class CrossEntropySumCache(NamedTuple):
    """Saved: the probabilities, which become the gradient in place."""

    probabilities: Any  # (N, V)
    targets: Any  # (N,)
    weights: Any  # (N,)
    shape: tuple[int, ...]  # of the logits


def cross_entropy_sum_forward(logits, targets, weights=None, ignore_index=-1):
    """See `ops.cross_entropy`."""
    counted = targets.reshape(-1) != ignore_index  # (N,)
    targets = np.where(counted, targets.reshape(-1), 0)  # (N,)
    row_weights = counted.astype(logits.dtype)  # (N,)
    if weights is not None:
        row_weights *= weights.reshape(-1)
    rows = logits.reshape(-1, logits.shape[-1])  # (N, V)
    probabilities, losses = np.empty_like(rows), np.empty_like(row_weights)  # (N, V), (N,)

    def rows_between(start: int, stop: int) -> None:
        part = slice(start, stop)
        passes.softmax_loss(rows[part], targets[part], probabilities[part], losses[part])

    in_parts(rows_between, len(rows), rows.size)
    loss = (row_weights * losses).sum()  # ()
    return loss, CrossEntropySumCache(probabilities, targets, row_weights, logits.shape)


def cross_entropy_sum_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.cross_entropy`. The cache is the walk's alone by now: its probabilities become the gradient."""
    dlogits, targets, weights, shape = cache
    dlogits[np.arange(len(dlogits)), targets] -= 1.0
    dlogits *= (dy * weights)[:, None]
    return (dlogits.reshape(shape),)


def adamw_update(values, gradients, first, second, decayed, rates):
    """See `optim.adamw`."""

    def between(start: int, stop: int) -> None:
        arrays = (array[start:stop] for array in (values, gradients, first, second))
        passes.adamw(*arrays, max(decayed - start, 0), rates)

    in_parts(between, len(values), len(values))


def known_activation(x, w1, b1, w2, b2, activation="gelu") -> bool:
    """Those that have a pass."""
    return activation in ("relu", "gelu")


def always(**arguments) -> bool:
    """No condition."""
    return True


for _operation, _forward, _backward, _accepts in (
    ("linear", linear_forward, linear_backward, always),
    ("layernorm", layernorm_forward, layernorm_backward, always),
    ("rmsnorm", rmsnorm_forward, rmsnorm_backward, always),
    ("ffn", ffn_forward, ffn_backward, known_activation),
    ("packed_attention", packed_attention_forward, packed_attention_backward, plain_causal),
    ("rotary", rotary_forward, rotary_backward, not_empty),
    ("packed_rotary", packed_rotary_forward, packed_rotary_backward, not_empty),
    ("embedding", embedding_forward, embedding_backward, always),
    ("cross_entropy_sum", cross_entropy_sum_forward, cross_entropy_sum_backward, always),
    ("adamw", adamw_update, not_differentiable, always),
):
    register(Implementation(_operation, chosen.name, "cpu", DTYPES, _forward, _backward, _accepts))
