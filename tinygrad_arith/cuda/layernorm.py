"""Layer normalisation on the GPU: one kernel forward; two backward, since each channel's sums run over all rows."""

import functools

import numpy as np

from ..ops.fast import LayerNormInputCache, destinations
from .elements import (
    BFLOAT16,
    C_NAMES,
    FLOAT32,
    THREADS,
    WARP,
    aligned,
    contiguous_like,
    pack_of,
    quotient,
    rows_of,
)
from .passes import finish_column_sums
from .source import Build, cupy

MOST_HELD = 32  # numbers of a row in a thread; the backward has five registers for each
MOST_CHANNELS = THREADS * MOST_HELD
ROWS_A_SHARE = 4  # rows at least that add up in registers before a partial sum is written
MOST_PARTIALS = 512  # rows of partial sums: enough blocks for every multiprocessor, few enough to read again


@functools.cache
def build_for(dtype: np.dtype, channels: int, file: str = "layernorm.cu") -> tuple[Build, int]:
    """The kernels of a normalisation for rows of this length, and how many rows a block has under way."""
    width = pack_of(dtype) if channels % pack_of(dtype) == 0 else 1
    groups = quotient(channels, width)
    sharing = WARP if quotient(groups, WARP) * width <= MOST_HELD else THREADS
    defines = (
        ("ELEMENT", C_NAMES[dtype]),
        ("SINGLE", int(width == 1)),
        ("ROW_THREADS", sharing),
        ("HELD", quotient(groups, sharing)),
    )
    return Build(file, defines), THREADS // sharing


def layernorm_forward(x, weight, bias, eps=1e-5):
    """See `ops.layernorm`."""
    rows, weight = rows_of(x), aligned(weight)  # (N, C), (C,)
    (count, channels), y = rows.shape, cupy.empty_like(rows)  # (N, C)
    mean, rstd = cupy.empty((2, count), dtype=FLOAT32)  # (N,), (N,)
    build, at_once = build_for(rows.dtype, channels)
    grid = quotient(count, at_once)
    arrays = rows, weight, aligned(bias), eps, y, mean, rstd
    build.kernel("layernorm_forward")(grid, THREADS, *arrays, count, channels)
    return y.reshape(x.shape), LayerNormInputCache(rows, mean, rstd, weight)


def layernorm_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.layernorm`."""
    x, mean, rstd, weight = cache
    (count, channels), dx = x.shape, cupy.empty_like(x)  # (N, C)
    build, at_once = build_for(x.dtype, channels)
    blocks = blocks_of_backward(count, at_once)
    partial = cupy.empty((blocks, 2 * channels), dtype=FLOAT32)  # (blocks, 2 C): dweight, dbias
    arrays = rows_of(dy), x, mean, rstd, weight, dx, partial
    build.kernel("layernorm_backward")(blocks, THREADS, *arrays, count, channels)
    dweight, dbias = destinations(into and into[1:], (weight, weight), contiguous_like)
    finish_column_sums(partial, dweight, dbias)
    return dx.reshape(dy.shape), dweight[0], dbias[0]


def blocks_of_backward(count: int, at_once: int) -> int:
    """How many blocks sum the gradients of the parameters over so many rows, each into a row of its own."""
    return min(quotient(count, at_once * ROWS_A_SHARE), MOST_PARTIALS)


def accepts(x, weight, bias, eps=1e-5) -> bool:
    """Rows that fit into the registers of a block."""
    return 0 < x.shape[-1] <= MOST_CHANNELS


BUILDS = (
    build_for(FLOAT32, 128)[0],
    build_for(BFLOAT16, 768)[0],
    build_for(FLOAT32, 1024)[0],
    build_for(BFLOAT16, 1024)[0],
    build_for(FLOAT32, 1023)[0],
    build_for(FLOAT32, 8192)[0],
    build_for(BFLOAT16, 8191)[0],
)
