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


def build_for(dtype: np.dtype, index: np.dtype, head_size: int) -> Build:
    """The kernel for heads of this size."""
    paired = int(head_size % pack_of(dtype) > 0)
    return Build("rotary.cu", (("ELEMENT", C_NAMES[dtype]), ("INDEX", INDEX_TYPES[index]), ("PAIRED", paired)))


def turn(x: Any, cache: RotaryPositionsCache, back: bool) -> Any:  # x (B, T, heads, HS) or (B, T, heads HS)
    """x with the pairs of its first heads turned, or turned back."""
    positions, heads, turned, base = cache
    x = aligned(x)
    y, rows = cupy.empty_like(x), x.shape[0] * x.shape[1]
    head_size = x.size // (rows * heads)
    build = build_for(x.dtype, positions.dtype, head_size)
    width = pack_of(x.dtype) if head_size % pack_of(x.dtype) == 0 else 2
    grid = quotient(rows * (head_size // width), THREADS)
    sizes = rows, positions.size, heads, turned, head_size
    build.kernel("turn")(grid, THREADS, x, positions, y, *sizes, np.float64(math.log2(base)), int(back))
    return y


def rotary_forward(x, positions, base=10000.0):
    """See `ops.rotary`. Positions on the CPU are copied to the GPU."""
    cache = RotaryPositionsCache(indices_of(positions), x.shape[2], x.shape[2], base)
    return turn(x, cache, back=False), cache


def packed_rotary_forward(qkv, positions, heads, *, kv_heads=None, base=10000.0):
    """See `ops.packed_rotary`. Positions on the CPU are copied to the GPU."""
    kv_heads = kv_heads or heads
    cache = RotaryPositionsCache(indices_of(positions), heads + 2 * kv_heads, heads + kv_heads, base)
    return turn(qkv, cache, back=False), cache


def rotary_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.rotary`: turned back by the same angles."""
    return (turn(dy, cache, back=True),)


packed_rotary_backward = rotary_backward  # which heads are turned is in the cache


BUILDS = (
    build_for(FLOAT32, INT64, 64),
    build_for(BFLOAT16, INT32, 64),
    build_for(FLOAT32, INT32, 6),
    build_for(BFLOAT16, INT64, 12),
)
