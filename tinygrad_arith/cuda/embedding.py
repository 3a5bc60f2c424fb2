"""The table lookup on the GPU, and its backward without atomics: by shared memory for a small vocabulary, else sorted.

Nothing here waits for the device, so it can be captured (CuPy's own sort cannot).
"""

import numpy as np

from ..ops.embedding import EmbeddingCache
from ..ops.fast import destinations
from . import faults
from .elements import (
    BFLOAT16,
    C_NAMES,
    FLOAT32,
    INDEX_TYPES,
    THREADS,
    WARP,
    aligned,
    indices_of,
    pack_of,
    quotient,
    rows_of,
)
from .order import sorted_tiles
from .passes import column_sum
from .source import Build, cupy

SMALL = 128  # words of a vocabulary whose sums for 32 channels fit into shared memory, three times at least
SHARED_BYTES = 48 * 1024  # of a block: what can be had without asking, so that several blocks fit beside each other
MOST_WARPS = 8  # of a block, each with sums of its own
ROWS_A_WARP = 16  # at least: with fewer, the second stage has more to read than the first
MOST_BLOCKS = 512  # of the first stage
TILES, TABLE_ROWS = 32, 8  # TILES and WARPS of embedding.cu


def build_for(dtype: np.dtype, index: np.dtype, channels: int, out: np.dtype = FLOAT32) -> Build:
    """The kernels for rows of this length."""
    single = int(channels % pack_of(dtype) > 0)
    defines = ("ELEMENT", C_NAMES[dtype]), ("INDEX", INDEX_TYPES[index]), ("SINGLE", single), ("OUT", C_NAMES[out])
    return Build("embedding.cu", defines)


def embedding_forward(ids, table):
    """See `ops.embedding`. Ids on the CPU are copied to the GPU.

    One that is no row gives NaN, and is told where the host next waits (`faults`).
    """
    flat, rows = indices_of(ids), aligned(table)  # (N,), (V, C)
    vocabulary, channels = table.shape
    y = cupy.empty((flat.size, channels), dtype=table.dtype)  # (N, C)
    width = pack_of(table.dtype) if channels % pack_of(table.dtype) == 0 else 1
    grid = quotient(flat.size * (channels // width), THREADS)
    kernel = build_for(table.dtype, flat.dtype, channels).kernel("embedding_forward")
    kernel(grid, THREADS, flat, rows, y, faults.note("embedding"), flat.size, vocabulary, channels)
    return y.reshape(*ids.shape, channels), EmbeddingCache(flat.copy(), table.shape)


def embedding_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.embedding`."""
    ids, (vocabulary, _) = cache
    dy = rows_of(dy)  # (N, C)
    ((dtable, add),) = destinations(into, (cache.table_shape,), lambda shape: cupy.empty(shape, dy.dtype))  # (V, C)
    if len(dy) == 0:
        if not add:
            dtable.fill(0)
    elif vocabulary <= SMALL:
        sum_by_id_in_shared_memory(ids, dy, dtable, add)
    else:
        sum_by_id_sorted(ids, dy, dtable, add)
    return (dtable,)


def sum_by_id_in_shared_memory(ids, dy, dtable, add):  # ids (N,); dy (N, C); dtable (V, C)
    """dtable[v] = the sum of dy where ids == v, or is added to: each block for its rows, then over the blocks."""
    (rows, channels), vocabulary = dy.shape, len(dtable)
    bytes_a_warp = vocabulary * WARP * FLOAT32.itemsize
    warps = min(MOST_WARPS, SHARED_BYTES // bytes_a_warp)
    tiles = quotient(channels, WARP)
    chunks = max(1, min(quotient(rows, warps * ROWS_A_WARP), MOST_BLOCKS // tiles))
    chunk = quotient(rows, chunks)
    chunks = quotient(rows, chunk)
    partial = cupy.empty((chunks, vocabulary * channels), dtype=FLOAT32)  # (chunks, V C)
    at_once = dtable if chunks == 1 else None
    kernel = build_for(dy.dtype, ids.dtype, channels, dtable.dtype).kernel("embedding_small")
    arrays, sizes = (ids, dy, partial, at_once), (rows, vocabulary, channels, chunk, int(add))
    kernel((tiles, chunks), (WARP, warps), *arrays, *sizes, shared=warps * bytes_a_warp)
    if at_once is None:
        column_sum(partial, dtable.reshape(-1), add)


def sum_by_id_sorted(ids, dy, dtable, add):  # ids (N,); dy (N, C); dtable (V, C)
    """dtable[v] = the sum of dy where ids == v, or is added to: positions sorted by id, then summed row by row."""
    vocabulary, channels = dtable.shape
    positions = sorted_tiles(ids, vocabulary)  # (tiles, TILE)
    kernel = build_for(dy.dtype, ids.dtype, channels, dtable.dtype).kernel("embedding_segments")
    for first in range(0, len(positions), TILES):
        some = positions[first : first + TILES]
        sizes = len(some), vocabulary, channels, int(add or first > 0)
        kernel(quotient(vocabulary, TABLE_ROWS), THREADS, some, dy, dtable, *sizes)


def accepts(ids, table) -> bool:
    """A table that has elements: NumPy's errors for others are raised by the reference."""
    return table.size > 0


INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)
BUILDS = (build_for(FLOAT32, INT64, 128), build_for(BFLOAT16, INT64, 768), build_for(BFLOAT16, INT32, 3, BFLOAT16))
