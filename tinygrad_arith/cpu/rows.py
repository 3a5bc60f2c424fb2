"""Rows: every position as one, and blocks of them that stay in a core's own cache between one pass and the next."""

import numpy as np

BLOCK_ELEMENTS = 1 << 18  # in float32 1 MiB: half of a core's own cache today
LEAST_ROWS = 256  # of a matrix product: with fewer, reading the weights costs more than the cache saves


def rows_of(x):  # (..., C) -> (N, C), contiguous
    """Every position as a row; copied only if it does not lie so already."""
    return np.ascontiguousarray(x.reshape(-1, x.shape[-1]))


def blocks(rows: int, row_elements: int, least: int = LEAST_ROWS) -> list[slice]:
    """Parts of range(rows), each as many rows as stay in a core's own cache between one pass and the next."""
    step = max(BLOCK_ELEMENTS // max(row_elements, 1), least)
    return [slice(start, min(start + step, rows)) for start in range(0, max(rows, 1), step)]
