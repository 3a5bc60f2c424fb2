"""Positions in the order of the ids that stand at them, without a wait for the GPU: CuPy's sort cannot be captured."""

from typing import Any

import numpy as np

from .elements import INDEX_TYPES, THREADS, indices_of, quotient
from .source import Build, cupy

TILE = 2048  # that of ids.cuh


def build_for(index: np.dtype) -> Build:
    """The kernels for ids of a dtype."""
    return Build("sort.cu", (("INDEX", INDEX_TYPES[index]),))


def sorted_tiles(ids: Any, count: int) -> Any:  # (N,) int32 or int64 -> (tiles, TILE) uint64
    """Each tile of positions as sorted numbers id * 2**32 + position, those without an id below `count` at its end."""
    tiles = quotient(len(ids), TILE)
    numbers = cupy.empty((tiles, TILE), dtype=np.uint64)
    build_for(ids.dtype).kernel("sort_tiles")(tiles, TILE // 2, ids, numbers, len(ids), count)
    return numbers


def stable_order(ids: Any, count: int) -> Any:  # (N,) int -> (N,) int64
    """The positions in the order of their ids, 0 to count - 1; equal ids in the order of their positions."""
    ids = indices_of(ids)
    numbers, run = sorted_tiles(ids, count).reshape(-1), TILE
    while run < numbers.size:
        merged = cupy.empty_like(numbers)
        build_for(ids.dtype).kernel("merge_runs")(
            quotient(numbers.size, THREADS), THREADS, numbers, merged, numbers.size, run
        )
        numbers, run = merged, 2 * run
    return (numbers[: len(ids)] & np.uint64(0xFFFFFFFF)).astype(np.int64)


BUILDS = tuple(build_for(index) for index in INDEX_TYPES)
