"""Attention on the CPU, on one packed projection that is read and written where it lies."""

import math
from typing import Any, NamedTuple

import numpy as np

from ..ops.attention import shown_keys
from ..ops.sums import LONG, product
from .passes import passes
from .rows import blocks


class PackedProbabilitiesCache(NamedTuple):
    """Saved: the probabilities; the packed projection by reference."""

    qkv: Any  # (B, T, (NH + 2 NHkv) HS)
    probabilities: Any  # (B, NHkv, G, T, T)
    scale: float


def heads_of(qkv, kv_heads, group):  # (B, T, (NH + 2 NHkv) HS)
    """Queries (B, NHkv, G, T, HS), keys and values (B, NHkv, 1, T, HS) where they lie: views."""
    batch, positions, channels = qkv.shape
    heads, count = kv_heads * group, kv_heads * (group + 2)
    parts = qkv.reshape(batch, positions, count, channels // count)  # (B, T, NH + 2 NHkv, HS)
    queries = parts[:, :, :heads].reshape(batch, positions, kv_heads, group, -1)  # (B, T, NHkv, G, HS)
    keys_and_values = parts[:, :, heads:].reshape(batch, positions, 2, kv_heads, 1, -1)  # (B, T, 2, NHkv, 1, HS)
    keys, values = keys_and_values.transpose(2, 0, 3, 4, 1, 5)
    return queries.transpose(0, 2, 3, 1, 4), keys, values


def packed_attention_forward(qkv, heads, *, kv_heads=None, causal=True, key_mask=None, lengths=None, scale=None):
    """See `ops.packed_attention`."""
    qkv, kv_heads = np.ascontiguousarray(qkv), kv_heads or heads
    group = heads // kv_heads
    q, k, v = heads_of(qkv, kv_heads, group)  # (B, NHkv, G or 1, T, HS) each
    batch, _, _, positions, head_size = q.shape
    scale = 1.0 / math.sqrt(head_size) if scale is None else scale
    visible = shown_keys(positions, key_mask, lengths)  # (B, T) or None
    probabilities = np.empty((*q.shape[:4], positions), dtype=qkv.dtype)  # (B, NHkv, G, T, T)
    out = np.empty((batch, positions, kv_heads, group, head_size), dtype=qkv.dtype)  # (B, T, NHkv, G, HS)
    for part in blocks(batch, heads * positions * positions, least=1):
        p = np.matmul(q[part], k[part].swapaxes(-1, -2), out=probabilities[part])  # (b, NHkv, G, T, T)
        scores = p.reshape(-1, positions, positions)
        if causal and visible is None:
            passes.causal_softmax(scores, scale)
        else:
            shown = np.ones((len(p), positions), dtype=bool) if visible is None else visible[part]  # (b, T)
            passes.masked_softmax(scores, scale, shown, causal)
        np.matmul(p, v[part], out=out[part].transpose(0, 2, 3, 1, 4))
    return out.reshape(batch, positions, heads * head_size), PackedProbabilitiesCache(qkv, probabilities, scale)


def packed_attention_backward(dout, cache, *, needs, into=None, owned=False):
    """See `ops.packed_attention`."""
    qkv, probabilities, scale = cache
    batch, kv_heads, group, positions, _ = probabilities.shape
    q, k, v = heads_of(qkv, kv_heads, group)  # (B, NHkv, G or 1, T, HS) each
    dqkv = np.empty_like(qkv)  # (B, T, (NH + 2 NHkv) HS)
    dq, dk, dv = heads_of(dqkv, kv_heads, group)
    dout = dout.reshape(batch, positions, kv_heads, group, -1).transpose(0, 2, 3, 1, 4)  # (B, NHkv, G, T, HS)
    square = (-1, positions, positions)
    for part in blocks(batch, 2 * kv_heads * group * positions * positions, least=1):
        p = probabilities[part]  # (b, NHkv, G, T, T)
        dscores = np.matmul(dout[part], v[part].swapaxes(-1, -2))  # (b, NHkv, G, T, T), dprobabilities first
        sum_over_queries(p, dout[part], dv[part])
        passes.softmax_backward(dscores.reshape(square), p.reshape(square), scale)
        np.matmul(dscores, k[part], out=dq[part])
        sum_over_queries(dscores, q[part], dk[part])
    return (dqkv,)


def sum_over_queries(a, b, out):  # a (b, NHkv, G, T, T); b (b, NHkv, G, T, HS); out (b, NHkv, 1, T, HS)
    """out = aᵀ b, added up over the heads of a group; among many positions in blocks of queries, so that the sum keeps
    its digits.
    """
    if a.shape[2] == 1 and a.shape[-1] <= LONG:
        np.matmul(a.swapaxes(-1, -2), b, out=out)
    else:
        product(a.swapaxes(-1, -2), b).sum(axis=2, keepdims=True, out=out)
