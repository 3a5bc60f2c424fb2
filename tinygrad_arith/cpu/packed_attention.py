"""Causal attention on the CPU, on one packed projection that is read and written where it lies."""

import math
from typing import Any, NamedTuple

import numpy as np

from ..ops.sums import LONG, product
from .passes import passes
from .rows import blocks


class PackedProbabilitiesCache(NamedTuple):
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
    return out.reshape(batch, positions, heads * head_size), PackedProbabilitiesCache(qkv, probabilities, scale)


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
        sum_over_queries(p, dout[part], dv[part])
        passes.softmax_backward(dscores.reshape(square), p.reshape(square), scale)
        np.matmul(dscores, k[part], out=dq[part])
        sum_over_queries(dscores, q[part], dk[part])
    return (dqkv,)


def sum_over_queries(a, b, out):  # a (b, NH, T, T); b, out (b, NH, T, HS)
    """out = aᵀ b; among many positions in blocks of queries, so that the sum keeps its digits."""
    if a.shape[-1] > LONG:
        out[...] = product(a.swapaxes(-1, -2), b)
    else:
        np.matmul(a.swapaxes(-1, -2), b, out=out)


def plain_causal(qkv, heads, *, kv_heads=None, causal=True, key_mask=None, lengths=None, scale=None) -> bool:
    """Causal, nothing padded, as many key/value heads as heads, not empty."""
    return causal and qkv.size > 0 and key_mask is None and lengths is None and kv_heads in (None, heads)
