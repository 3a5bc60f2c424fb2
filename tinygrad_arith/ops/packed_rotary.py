"""Rotary positions on one packed projection: its queries and keys are turned, its values stay.

qkv (B, T, (NH + 2 NHkv) HS) -> the same shape, for `packed_attention`
"""

from typing import Any, NamedTuple

from ..backend import array_module
from .packed_attention import check_heads
from .registry import Operation
from .rotary import check_pairs, check_positions, rotary_backward, rotary_forward
from .shape_rules import ArraySpec, OpShapes, require


class PackedRotaryCache(NamedTuple):
    """The cache of `rotary` on queries and keys side by side."""

    rotary: Any
    heads: int  # NH
    kv_heads: int  # NHkv


def packed_rotary_forward(
    qkv, positions, heads, *, kv_heads=None, base=10000.0, pairing="neighbours", width=None, scaling=None
):  # qkv (B, T, (NH + 2 NHkv) HS); positions (T,) or (B, T) int
    """`heads` is NH, `kv_heads` NHkv (default NH); the rest as in `rotary_forward`.

    Returns the packed projection, queries and keys turned, and the cache.
    """
    xp = array_module(qkv)
    kv_heads = kv_heads or heads
    parts = split_heads(qkv, heads, kv_heads)  # (B, T, NH + 2 NHkv, HS)
    how = {"pairing": pairing, "width": width, "scaling": scaling}
    turned, cache = rotary_forward(parts[:, :, : heads + kv_heads], positions, base, **how)  # (B, T, NH + NHkv, HS)
    y = xp.concatenate([turned, parts[:, :, heads + kv_heads :]], axis=2)  # (B, T, NH + 2 NHkv, HS)
    return y.reshape(qkv.shape), PackedRotaryCache(cache, heads, kv_heads)


def packed_rotary_backward(dy, cache):  # dy (B, T, (NH + 2 NHkv) HS)
    """Returns dqkv (B, T, (NH + 2 NHkv) HS)."""
    xp = array_module(dy)
    parts = split_heads(dy, cache.heads, cache.kv_heads)  # (B, T, NH + 2 NHkv, HS)
    turned = cache.heads + cache.kv_heads
    # forward: queries and keys are turned, values copied
    dturned = rotary_backward(parts[:, :, :turned], cache.rotary)  # (B, T, NH + NHkv, HS)
    dqkv = xp.concatenate([dturned, parts[:, :, turned:]], axis=2)  # (B, T, NH + 2 NHkv, HS)
    return dqkv.reshape(dy.shape)


def split_heads(qkv, heads, kv_heads):  # (B, T, (NH + 2 NHkv) HS) -> (B, T, NH + 2 NHkv, HS)
    """Every head of the packed projection by itself: queries, then keys, then values."""
    batch, positions, channels = qkv.shape
    count = heads + 2 * kv_heads
    return qkv.reshape(batch, positions, count, channels // count)


def packed_rotary_shapes(
    qkv, positions, heads, *, kv_heads=None, base=10000.0, pairing="neighbours", width=None, scaling=None
) -> OpShapes:
    """qkv (B, T, (NH + 2 NHkv) HS), positions (T,) or (B, T) -> (B, T, (NH + 2 NHkv) HS)."""
    kv_heads = kv_heads or heads
    check_heads("packed_rotary", qkv, heads, kv_heads)
    count = heads + 2 * kv_heads
    even = "" if width else " and HS even"
    rule = f"qkv must be (B, T, (NH + 2 NHkv) HS) with NH = {heads}, NHkv = {kv_heads}{even}"
    fits = qkv.ndim == 3 and qkv.shape[2] % (count if width else 2 * count) == 0
    require(fits, "packed_rotary", rule, qkv=qkv)
    head_size = qkv.shape[2] // count
    check_pairs("packed_rotary", qkv, head_size, base, pairing, width, scaling)
    check_positions("packed_rotary", qkv, positions)
    out = ArraySpec(qkv.shape, qkv.dtype)
    share = (heads + kv_heads) * (width or head_size)  # of a row's numbers
    turned = out.shape[0] * out.shape[1] * share  # numbers of queries and keys
    angles = positions.size * (width or head_size)  # cosines and sines
    cache_bytes = angles * out.dtype.itemsize
    return OpShapes(out, cache_bytes, flop=3 * turned + 2 * angles, backward_flop=3 * turned)


PACKED_ROTARY = Operation(
    "packed_rotary",
    packed_rotary_forward,
    packed_rotary_backward,
    ("qkv",),
    packed_rotary_shapes,
    arrays=("positions",),
)
