"""Rotary positions on the CPU, of heads alone and in a packed projection: the angles of each place are made once."""

from typing import Any, NamedTuple

import numpy as np

from ..ops.rotary import turns
from .passes import passes


class RotaryTableCache(NamedTuple):
    """Saved: the cosine and sine of every angle once, and which are a row's own."""

    index: Any  # (B T,) int
    cos: Any  # (P, W/2)
    sin: Any  # (P, W/2)
    heads: int  # of a row, of which the first `turned` are turned
    turned: int
    halves: bool  # pairs are channels i and i + W/2, not neighbours


def turn_heads(x, positions, heads, turned, base, pairing, width, scaling):  # x (B, T, heads, HS) or (B, T, heads HS)
    """x with the first `turned` of its heads turned by their positions, (T,) or (B, T), and the cache."""
    rows = x.reshape(-1, heads, x.size // (x.shape[0] * x.shape[1] * heads))  # (B T, heads, HS)
    places, index = places_of(positions)  # (P,), as positions
    cos, sin = turns(x, places, width or rows.shape[2], base, scaling)  # (P, 1, W/2) each
    index = np.broadcast_to(index, x.shape[:2]).reshape(-1).astype(np.int64, copy=False)  # (B T,): one loop for all
    cache = RotaryTableCache(index, cos[:, 0], sin[:, 0], heads, turned, pairing == "halves")
    y = np.empty_like(rows, order="C")  # (B T, heads, HS)
    passes.turn(np.ascontiguousarray(rows), y, turned, index, cache.cos, cache.sin, cache.halves)
    return y.reshape(x.shape), cache


def places_of(positions):
    """The positions whose angles are to be made (P,), and for each of the positions given its index among them.

    Those of a batch are few numbers many times over.
    """
    first, last = int(positions.min()), int(positions.max())
    if last - first < positions.size:
        wide = positions if positions.dtype.kind == "u" else positions.astype(np.int64)  # in int8 100 - (-100) is -56
        return np.arange(first, last + 1), wide - first
    return positions.reshape(-1), np.arange(positions.size).reshape(positions.shape)


def rotary_forward(x, positions, base=10000.0, *, pairing="neighbours", width=None, scaling=None):
    """See `ops.rotary`."""
    return turn_heads(x, positions, x.shape[2], x.shape[2], base, pairing, width, scaling)


def packed_rotary_forward(
    qkv, positions, heads, *, kv_heads=None, base=10000.0, pairing="neighbours", width=None, scaling=None
):
    """See `ops.packed_rotary`."""
    kv_heads = kv_heads or heads
    return turn_heads(qkv, positions, heads + 2 * kv_heads, heads + kv_heads, base, pairing, width, scaling)


def rotary_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.rotary`: turned back by the same angles."""
    index, cos, sin, heads, turned, halves = cache
    rows = np.ascontiguousarray(dy).reshape(len(index), heads, -1)  # (B T, heads, HS)
    dx = np.empty_like(rows)  # (B T, heads, HS)
    passes.turn(rows, dx, turned, index, cos, -sin, halves)
    return (dx.reshape(dy.shape),)


packed_rotary_backward = rotary_backward  # which heads are turned is in the cache
