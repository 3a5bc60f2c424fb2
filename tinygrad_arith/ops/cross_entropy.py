"""Cross-entropy of logits against target ids, with the softmax fused in.

For one row of logits z and target t:   loss = -log p[t],   p = softmax(z) = exp(z - logsumexp(z))
and the gradient is                     dloss/dz[i] = p[i] - (1 if i == t else 0).
(Bridle 1990, https://doi.org/10.1007/978-3-642-76153-9_28; the derivation is in docs/cross_entropy.md.)

Two forms. `cross_entropy_sum` returns the sum over the counted targets; the caller divides by a count, by handing
1/count to the backward as the cotangent. Half-batches, micro-batches and several devices thus add up to one loss.
`cross_entropy` is the mean over this batch's counted targets.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module
from .ids import require_ids
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, require


class CrossEntropyCache(NamedTuple):
    """Saved: two numbers a row; the logits by reference. The probabilities are recomputed, not stored.

    Their sum, logsumexp(z) = largest + log(total), would lose the digits that a large offset of the logits takes.
    """

    logits: Any  # (..., V)
    largest: Any  # (..., 1), of the row's logits
    total: Any  # (..., 1), the sum of exp(z - largest)
    targets: Any  # (...) int, 0 where not counted
    weights: Any  # (...), 0 where not counted

    @property
    def logsumexp(self):  # (..., 1)
        """The logarithm of the sum of the exponentials."""
        return self.largest + array_module(self.total).log(self.total)


def cross_entropy_sum_forward(logits, targets, weights=None, ignore_index=-1):  # (..., V); (...) int; (...) or None
    """Sum of weight * (-log p[target]) over the targets that are not `ignore_index`. Returns loss () and the cache.

    Rows without weight add nothing, whatever their logits are: NaN, too. Raises IndexError for a target that is no
    class; on a GPU the loss becomes NaN.
    """
    xp = array_module(logits)
    counted, targets = counted_targets(targets, logits.shape[-1], ignore_index)  # (...) bool, (...)
    row_weights = counted.astype(logits.dtype)  # (...)
    if weights is not None:
        row_weights = row_weights * weights.astype(logits.dtype)  # (...)

    largest = logits.max(axis=-1, keepdims=True)  # (..., 1): subtracted so that exp cannot overflow
    centered = difference(logits, largest)  # (..., V)
    total = xp.exp(centered).sum(axis=-1, keepdims=True)  # (..., 1)
    # -log p[target]; `largest` goes to the target's side, since adding it to log(total) would round a small loss away
    losses = xp.log(total[..., 0]) - at_targets(centered, targets)  # (...)
    loss = xp.where(row_weights != 0, row_weights * losses, 0.0).sum()  # ()
    return loss, CrossEntropyCache(logits, largest, total, targets, row_weights)


def cross_entropy_sum_backward(dy, cache):  # dy ()
    """Returns dlogits (..., V)."""
    xp = array_module(cache.logits)
    logits, largest, total, targets, weights = cache
    # forward: loss = sum over rows of weight * (logsumexp(z) - z[t]).
    # The derivative of logsumexp is the softmax; that of z[t] is 1 at t and 0 elsewhere:
    probabilities = xp.exp(difference(logits, largest)) / total  # (..., V)
    one_hot = xp.arange(logits.shape[-1]) == targets[..., None]  # (..., V) bool
    dlogits = (dy * weights)[..., None] * (probabilities - one_hot)  # (..., V)
    return xp.where(weights[..., None] != 0, dlogits, 0.0)  # (..., V)


def difference(logits, largest):  # (..., V), (..., 1) -> (..., V)
    """logits - largest; NaN in a row with an infinity, without a warning: the row may be one that does not count."""
    with np.errstate(invalid="ignore"):
        return logits - largest


def at_targets(rows, targets):  # rows (..., V); targets (...) int -> (...)
    """The entry of each row at its target; NaN where the target is none (possible on a GPU only)."""
    xp = array_module(rows)
    inside = (targets >= 0) & (targets < rows.shape[-1])  # (...)
    entries = xp.take_along_axis(rows, xp.where(inside, targets, 0)[..., None], axis=-1)  # (..., 1)
    return xp.where(inside, entries[..., 0], math.nan)  # (...)


def bears_loss(targets, ignore_index: int):  # (...) int -> (...) bool
    """Which targets are none to ignore."""
    # In this machine's byte order: NumPy before 2.2 crashes where it compares another one with a number below 0.
    return targets.astype(targets.dtype.newbyteorder("="), copy=False) != ignore_index  # (...)


def counted_targets(targets, classes: int, ignore_index: int):  # (...) int -> (...) bool, (...) int
    """Which targets bear loss, and the targets with 0 for the others.

    Raises IndexError for one that is neither a class nor `ignore_index`; targets on a GPU are not read.
    """
    counted = bears_loss(targets, ignore_index)  # (...)
    targets = array_module(targets).where(counted, targets, 0)  # (...): a valid index everywhere
    require_ids(targets, classes, "cross_entropy: targets", f", or ignore_index ({ignore_index}) where there is none")
    return counted, targets


class CrossEntropyMeanCache(NamedTuple):
    """The sum form's cache, and how many targets were counted."""

    sum_cache: CrossEntropyCache
    count: Any  # (), at least 1


def cross_entropy_forward(logits, targets, ignore_index=-1):  # logits (..., V); targets (...) int
    """Mean of -log p[target] over the counted targets; 0 if there is none. Returns loss () and the cache."""
    xp = array_module(logits)
    total, sum_cache = cross_entropy_sum_forward(logits, targets, ignore_index=ignore_index)  # ()
    count = xp.maximum(sum_cache.weights.sum(), 1.0)  # (), in the logits' dtype: an int64 would widen float32
    return total / count, CrossEntropyMeanCache(sum_cache, count)


def cross_entropy_backward(dy, cache):  # dy ()
    """Returns dlogits (..., V)."""
    # forward: loss = total / count
    return cross_entropy_sum_backward(dy / cache.count, cache.sum_cache)  # (..., V)


def count_targets(targets, ignore_index=-1):  # targets (...) int
    """How many targets bear loss: the normaliser of `cross_entropy_sum`. Returns int ()."""
    return bears_loss(targets, ignore_index).sum()


def cross_entropy_sum_shapes(logits, targets, weights=None, ignore_index=-1) -> OpShapes:
    """logits (..., V), targets (...), weights (...) -> ()."""
    fits = logits.ndim >= 1 and logits.shape[:-1] == targets.shape and logits.shape[-1] >= 1
    fits = fits and (weights is None or weights.shape == targets.shape)
    rule = "targets and weights must be (...) for logits (..., V)"
    require(fits, "cross_entropy", rule, logits=logits, targets=targets, weights=weights)
    integers = np.dtype(targets.dtype).kind in "iu"
    require(integers, "cross_entropy", f"targets must be integers, not {targets.dtype}", logits=logits, targets=targets)
    if not isinstance(ignore_index, int | np.integer):
        raise TypeError(f"cross_entropy: ignore_index must be a whole number, which no target is; not {ignore_index!r}")
    out = ArraySpec((), logits.dtype)
    rows = targets.size * (3 * logits.dtype.itemsize + targets.dtype.itemsize)
    return OpShapes(out, rows, flop=5 * logits.size, backward_flop=5 * logits.size)


def cross_entropy_shapes(logits, targets, ignore_index=-1) -> OpShapes:
    """logits (..., V), targets (...) -> ()."""
    return cross_entropy_sum_shapes(logits, targets, ignore_index=ignore_index)


CROSS_ENTROPY_SUM = Operation(
    "cross_entropy_sum",
    cross_entropy_sum_forward,
    cross_entropy_sum_backward,
    ("logits",),
    cross_entropy_sum_shapes,
    arrays=("targets", "weights"),
)
CROSS_ENTROPY = Operation(
    "cross_entropy",
    cross_entropy_forward,
    cross_entropy_backward,
    ("logits",),
    cross_entropy_shapes,
    arrays=("targets",),
)
