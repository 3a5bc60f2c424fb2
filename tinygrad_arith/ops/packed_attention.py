"""Attention on one packed projection: queries, keys and values side by side in the channels.

    qkv (B, T, (NH + 2 NHkv) HS) -> y (B, T, NH HS)

One projection makes all three and its gradient comes back in one array, so nothing is copied on the way in.
"""

from typing import Any, NamedTuple

from ..backend import array_module
from .attention import attention_backward, attention_forward, attention_shapes
from .numbers import is_whole
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, require


class PackedAttentionCache(NamedTuple):
    """The cache of `attention`, whose q, k and v are views of qkv."""

    attention: Any


def packed_attention_forward(
    qkv, heads, *, kv_heads=None, causal=True, key_mask=None, lengths=None, scale=None
):  # qkv (B, T, (NH + 2 NHkv) HS)
    """`heads` is NH, `kv_heads` NHkv (default NH); the rest as in `attention_forward`.

    Returns y (B, T, NH HS) and the cache.
    """
    q, k, v = unpack(qkv, heads, kv_heads)
    y, cache = attention_forward(q, k, v, causal=causal, key_mask=key_mask, lengths=lengths, scale=scale)
    return y.reshape(*qkv.shape[:2], q.shape[2] * q.shape[3]), PackedAttentionCache(cache)


def packed_attention_backward(dy, cache):  # dy (B, T, NH HS)
    """Returns dqkv (B, T, (NH + 2 NHkv) HS)."""
    xp = array_module(dy)
    batch, kv_heads, group, positions, head_size = cache.attention.q.shape
    dy = dy.reshape(batch, positions, kv_heads * group, head_size)  # (B, T, NH, HS)
    dq, dk, dv = attention_backward(dy, cache.attention)
    # forward: q, k, v = the three parts of qkv's channels
    dqkv = xp.concatenate([dq, dk, dv], axis=2)  # (B, T, NH + 2 NHkv, HS)
    return dqkv.reshape(batch, positions, -1) if batch else dqkv.reshape(batch, positions, dqkv.shape[2] * head_size)


def unpack(qkv, heads, kv_heads=None):  # qkv (B, T, (NH + 2 NHkv) HS)
    """Views q (B, T, NH, HS), k and v (B, T, NHkv, HS) of the packed projection."""
    kv_heads = kv_heads or heads
    batch, positions, channels = qkv.shape
    parts = heads + 2 * kv_heads
    qkv = qkv.reshape(batch, positions, parts, channels // parts)  # (B, T, NH + 2 NHkv, HS)
    return qkv[:, :, :heads], qkv[:, :, heads : heads + kv_heads], qkv[:, :, heads + kv_heads :]


def packed_attention_shapes(
    qkv, heads, *, kv_heads=None, causal=True, key_mask=None, lengths=None, scale=None
) -> OpShapes:
    """qkv (B, T, (NH + 2 NHkv) HS) -> (B, T, NH HS)."""
    kv_heads = kv_heads or heads
    check_heads("packed_attention", qkv, heads, kv_heads)
    parts = heads + 2 * kv_heads
    rule = f"qkv must be (B, T, (NH + 2 NHkv) HS) with NH = {heads}, NHkv = {kv_heads}"
    require(qkv.ndim == 3 and qkv.shape[2] % parts == 0, "packed_attention", rule, qkv=qkv)
    batch, positions, channels = qkv.shape
    head_size = channels // parts
    q = ArraySpec((batch, positions, heads, head_size), qkv.dtype)
    k = ArraySpec((batch, positions, kv_heads, head_size), qkv.dtype)
    inner = attention_shapes(q, k, k, causal=causal, key_mask=key_mask, lengths=lengths, scale=scale)
    out = ArraySpec((batch, positions, heads * head_size), qkv.dtype)
    return OpShapes(out, inner.cache_bytes, flop=inner.flop, backward_flop=inner.backward_flop)


def check_heads(name, qkv, heads, kv_heads) -> None:
    """Raises `ShapeError` for what is no number of heads."""
    for count, value in {"heads": heads, "kv_heads": kv_heads}.items():
        require(is_whole(value), name, f"{count} must be a whole number, not {value!r}")
        require(value >= 1, name, f"there must be a head at least, not {value}", qkv=qkv)


PACKED_ATTENTION = Operation(
    "packed_attention",
    packed_attention_forward,
    packed_attention_backward,
    ("qkv",),
    packed_attention_shapes,
    arrays=("key_mask", "lengths"),
)
