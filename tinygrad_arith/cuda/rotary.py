"""Rotary positions on the GPU: one pass each way, whose angles are made on the way and not kept."""

import math
from typing import Any, NamedTuple

import numpy as np

from .elements import BFLOAT16, C_NAMES, FLOAT32, INDEX_TYPES, THREADS, aligned, indices_of, pack_of, quotient
from .source import Build, cupy

INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)


class RotaryPositionsCache(NamedTuple):
    """Saved by reference: the positions. The angles are made again: cheaper than reading them."""

    positions: Any  # (T,) or (B T,)
    heads: int  # of a row, of which the first `turned` are turned
    turned: int
    base: float
    halves: bool  # pairs are channels i and i + W/2, not neighbours
    width: int | None  # W; None: all channels of a head


def channels_of(dtype: np.dtype, head_size: int, width: int, halves: bool) -> int:
    """How many channels a thread has: a pack, two of them where pairs are halves apart, or one pair."""
    channels = pack_of(dtype) * (1 + halves)
    return channels if head_size % channels == width % channels == 0 else 2


def build_for(
    dtype: np.dtype, index: np.dtype, head_size: int, width: int | None = None, halves: bool = False
) -> Build:
    """The kernel for heads of this size, of which so many channels are turned."""
    paired = int(channels_of(dtype, head_size, width or head_size, halves) == 2)
    names = ("ELEMENT", C_NAMES[dtype]), ("INDEX", INDEX_TYPES[index]), ("PAIRED", paired)
    return Build("rotary.cu", (*names, ("HALVES", int(halves))))


def turn(x: Any, cache: RotaryPositionsCache, back: bool) -> Any:  # x (B, T, heads, HS) or (B, T, heads HS)
    """x with the pairs of its first heads turned, or turned back."""
    positions, heads, turned, base, halves, turned_channels = cache
    x = aligned(x)
    y, rows = cupy.empty_like(x), x.shape[0] * x.shape[1]
    head_size = x.size // (rows * heads)
    width = turned_channels or head_size
    build = build_for(x.dtype, positions.dtype, head_size, width, halves)
    channels = channels_of(x.dtype, head_size, width, halves)
    grid = quotient(rows * (head_size // channels), THREADS)
    sizes = rows, positions.size, heads, turned, head_size, width
    build.kernel("turn")(grid, THREADS, x, positions, y, *sizes, np.float64(math.log2(base)), int(back))
    return y


def rotary_forward(x, positions, base=10000.0, *, pairing="neighbours", width=None, scaling=None):
    """See `ops.rotary`. Positions on the CPU are copied to the GPU."""
    heads = x.shape[2]
    cache = RotaryPositionsCache(indices_of(positions), heads, heads, base, pairing == "halves", width)
    return turn(x, cache, back=False), cache


def packed_rotary_forward(
    qkv, positions, heads, *, kv_heads=None, base=10000.0, pairing="neighbours", width=None, scaling=None
):
    """See `ops.packed_rotary`. Positions on the CPU are copied to the GPU."""
    kv_heads = kv_heads or heads
    parts, halves = (heads + 2 * kv_heads, heads + kv_heads), pairing == "halves"
    cache = RotaryPositionsCache(indices_of(positions), *parts, base, halves, width)
    return turn(qkv, cache, back=False), cache


def rotary_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.rotary`: turned back by the same angles."""
    return (turn(dy, cache, back=True),)


packed_rotary_backward = rotary_backward  # which heads are turned is in the cache


def accepts(x=None, qkv=None, positions=None, heads=None, *, kv_heads=None, scaling=None, **options) -> bool:
    """Frequencies that are not stretched, and heads of an even size, of arrays that are not empty."""
    array = qkv if x is None else x
    parts = array.shape[2] if heads is None else heads + 2 * (kv_heads or heads)
    head_size = array.shape[3] if heads is None else array.shape[2] // max(parts, 1)
    return scaling is None and head_size % 2 == 0 and array.size > 0 and positions.size > 0


BUILDS = (
    build_for(FLOAT32, INT64, 64, 64, True),
    build_for(BFLOAT16, INT64, 96, 32, True),
    build_for(BFLOAT16, INT32, 6, 2, True),
    build_for(FLOAT32, INT64, 64),
    build_for(BFLOAT16, INT32, 64),
    build_for(FLOAT32, INT32, 6),
    build_for(BFLOAT16, INT64, 12),
)
