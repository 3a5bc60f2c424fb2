"""Cross-entropy on the GPU: the logits are read once forward, and once backward, where the gradient is written."""

from typing import Any, NamedTuple

import numpy as np

from . import faults
from .elements import BFLOAT16, C_NAMES, FLOAT32, INDEX_TYPES, THREADS, WARP, indices_of, quotient, rows_of
from .source import Build, cupy

ONE_WARP = 2048  # elements of a row up to which a warp alone takes it
ROW_THREADS = 512  # otherwise: four such blocks fill a multiprocessor


class CrossEntropyLogitsCache(NamedTuple):
    """Saved: two numbers a row, as `ops.cross_entropy` has them; logits, targets and weights by reference."""

    logits: Any  # (N, V)
    largest: Any  # (N,) float32
    total: Any  # (N,) float32
    targets: Any  # (N,) int32 or int64
    weights: Any  # (N,) float32 or None
    ignored: int
    shape: tuple[int, ...]  # of the logits


def build_for(dtype: np.dtype, vocabulary: int, index: np.dtype) -> tuple[Build, int, int]:
    """The kernels for rows of this length, the threads of a block, and how many rows it has."""
    sharing = WARP if vocabulary <= ONE_WARP else ROW_THREADS
    defines = ("ELEMENT", C_NAMES[dtype]), ("ROW_THREADS", sharing), ("INDEX", INDEX_TYPES[index])
    threads = THREADS if sharing == WARP else sharing
    return Build("cross_entropy.cu", defines), threads, threads // sharing


def cross_entropy_sum_forward(logits, targets, weights=None, ignore_index=-1):
    """See `ops.cross_entropy`. The loss is float32 whatever the logits are: a sum over thousands of targets.

    A target that is no class makes it NaN, and is told where the host next waits (`faults`).
    """
    rows, targets = rows_of(logits), indices_of(targets)  # (N, V), (N,)
    if weights is not None:
        weights = cupy.ascontiguousarray(cupy.asarray(weights, dtype=FLOAT32).reshape(-1))  # (N,)
    count, vocabulary = rows.shape
    losses, largest, total = cupy.empty((3, count), dtype=FLOAT32)  # (N,) each
    loss = cupy.empty((), dtype=FLOAT32)  # ()
    build, threads, at_once = build_for(rows.dtype, vocabulary, targets.dtype)
    grid, arrays = quotient(count, at_once), (rows, targets, weights, ignore_index, losses, largest, total)
    build.kernel("cross_entropy_forward")(grid, threads, *arrays, faults.note("cross_entropy"), count, vocabulary)
    build.kernel("sum_losses")(1, 1024, losses, loss, count)
    return loss, CrossEntropyLogitsCache(rows, largest, total, targets, weights, ignore_index, logits.shape)


def cross_entropy_sum_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.cross_entropy`."""
    logits, largest, total, targets, weights, ignored, shape = cache
    (count, vocabulary), dlogits = logits.shape, cupy.empty_like(logits)  # (N, V)
    build, threads, at_once = build_for(logits.dtype, vocabulary, targets.dtype)
    dloss = cupy.asarray(dy, dtype=FLOAT32)  # ()
    grid, arrays = quotient(count, at_once), (dloss, logits, targets, weights, ignored, largest, total, dlogits)
    build.kernel("cross_entropy_backward")(grid, threads, *arrays, count, vocabulary)
    return (dlogits.reshape(shape),)


BUILDS = tuple(
    build_for(dtype, vocabulary, np.dtype(index))[0]
    for dtype, vocabulary, index in ((FLOAT32, 14, np.int64), (BFLOAT16, 14, np.int32), (BFLOAT16, 50_304, np.int64))
)
