"""Cross-entropy on the CPU: one pass forward, and the gradient in place of the probabilities."""

from typing import Any, NamedTuple

import numpy as np

from ..ops.cross_entropy import counted_targets
from .parts import in_parts
from .passes import passes


class CrossEntropySumCache(NamedTuple):
    """Saved: the probabilities, which become the gradient in place; equal ones in rows without weight."""

    probabilities: Any  # (N, V)
    targets: Any  # (N,)
    weights: Any  # (N,)
    shape: tuple[int, ...]  # of the logits


def cross_entropy_sum_forward(logits, targets, weights=None, ignore_index=-1):
    """See `ops.cross_entropy`."""
    counted, targets = counted_targets(targets.reshape(-1), logits.shape[-1], ignore_index)  # (N,) bool, (N,)
    targets = targets.astype(np.int64, copy=False)  # (N,): Numba compiles one loop
    row_weights = counted.astype(logits.dtype)  # (N,)
    if weights is not None:
        row_weights *= weights.reshape(-1)
    rows = logits.reshape(-1, logits.shape[-1])  # (N, V)
    probabilities, losses = np.empty_like(rows), np.empty_like(row_weights)  # (N, V), (N,)

    def rows_between(start: int, stop: int) -> None:
        part = slice(start, stop)
        passes.softmax_loss(rows[part], targets[part], row_weights[part], probabilities[part], losses[part])

    in_parts(rows_between, len(rows), rows.size)
    loss = (row_weights * losses).sum()  # ()
    return loss, CrossEntropySumCache(probabilities, targets, row_weights, logits.shape)


def cross_entropy_sum_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.cross_entropy`. The cache is the walk's alone by now: its probabilities become the gradient."""
    dlogits, targets, weights, shape = cache
    dlogits[np.arange(len(dlogits)), targets] -= 1.0
    dlogits *= (dy * weights)[:, None]
    return (dlogits.reshape(shape),)
