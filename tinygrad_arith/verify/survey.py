"""Slopes by many elements at once, each from a few differences whose steps follow its size: what most elements need.

The first look takes one small step to each side. What a backward says can only agree with such a difference by being
right, unless rounding hides the slope or the one-sided slopes differ: a wrong answer that is off by just the error of
the difference would be a wonder. Elements that do not agree are looked at together once more, with several steps of a
size that has shown itself to suit such elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = ["ONE_STEP", "TOGETHER", "TWO_STEPS", "Look", "Survey", "survey"]

AT_ONCE = 500_000  # numbers of outputs that are held at a time
# The gap between one-sided slopes of a smooth function falls with the step, that of a kink stays. Between the two lies
# the square root of the steps' ratio:
KEEPS = 1.13  # times that: it does not fall as it should
DOUBTFUL = 0.85  # times that: there may be a kink besides
VISIBLE = 8  # times its noise
BENT = 1 / 256  # of the slope: a gap over one small step that may be a kink's


@dataclass(frozen=True)
class Look:
    """How many steps, and each one over the one before: no simple ratio, so that no period of a forward hides in all of
    them, and one of few bits.
    """

    ratio: float
    steps: int

    @property
    def shares(self) -> list[float]:
        """The steps over the first one."""
        return [self.ratio**power for power in range(self.steps)]


ONE_STEP = Look(1.0, 1)
TWO_STEPS = Look(9 / 32, 2)
TOGETHER = Look(9 / 16, 4)


@dataclass(frozen=True)
class Survey:
    """One number an element, float64 (n,); `rounding` is a part of `error`. `columns` are the slopes of all outputs
    (m, n), or None where they would be too many. `suspicious`: the one-sided slopes differ in a way that no smooth
    function's do.
    """

    value: np.ndarray
    error: np.ndarray
    rounding: np.ndarray
    suspicious: np.ndarray
    columns: np.ndarray | None


@dataclass(frozen=True)
class _Differences:
    """The differences of a block of elements: slopes (n, m) at each step, the gaps between one-sided ones (n,) at each,
    and which outputs moved (n, m) bool.
    """

    central: list[np.ndarray]
    gaps: list[np.ndarray]
    moved: np.ndarray


def survey(
    at: Callable[[tuple[int, ...], float], tuple[float, np.ndarray]],
    here: np.ndarray,
    noise: np.ndarray,
    cotangent: np.ndarray,
    indices: Sequence[tuple[int, ...]],
    steps: np.ndarray,
    look: Look,
    keep_columns: bool,
) -> Survey:
    """Differences at each of these elements, a block of them at a time.

    at:     the step really taken at an element, and the outputs (m,) there
    here:   the outputs where no element moves, (m,); `noise` (m,) bounds their errors; `cotangent` (m,)
    steps:  the first step at each element (n,)
    """
    count, size = len(indices), max(1, cotangent.size)
    value, error, rounding = np.empty(count), np.empty(count), np.empty(count)
    suspicious = np.empty(count, dtype=bool)
    columns = np.empty((cotangent.size, count)) if keep_columns else None
    for first in range(0, count, max(1, AT_ONCE // size)):
        block = slice(first, first + max(1, AT_ONCE // size))
        with np.errstate(all="ignore"):
            seen = _differences(at, here, cotangent, indices[block], steps[block], look)
            rounding[block] = _rounding(seen, cotangent, noise, steps[block], look)
            estimated = _of_one_step if look.steps == 1 else _extrapolated
            slopes, value[block], error[block], suspicious[block] = estimated(seen, cotangent, rounding[block], look)
        if columns is not None:
            columns[:, block] = slopes.T
    return Survey(value, error, rounding, suspicious, columns)


def _differences(at, here, cotangent, indices, steps, look) -> _Differences:
    """The differences of a block of elements, at all steps of a look."""
    shape, weights = (len(indices), here.size), np.abs(cotangent)
    seen = _Differences([], [], np.zeros(shape, dtype=bool))
    for share in look.shares:
        ahead, behind, plus, minus = np.empty(shape[0]), np.empty(shape[0]), np.empty(shape), np.empty(shape)
        for row, index in enumerate(indices):
            ahead[row], plus[row] = at(index, share * steps[row])
            behind[row], minus[row] = at(index, -share * steps[row])
        right, left = (plus - here) / ahead[:, None], (minus - here) / behind[:, None]  # (n, m)
        seen.central.append((plus - minus) / (ahead - behind)[:, None])  # (n, m)
        seen.gaps.append(np.abs(right - left) @ weights)  # (n,)
        np.logical_or(seen.moved, (plus != here) | (minus != here), out=seen.moved)
    return seen


def _rounding(
    seen: _Differences, cotangent: np.ndarray, noise: np.ndarray, steps: np.ndarray, look: Look
) -> np.ndarray:
    """What rounding does to a difference over the smallest step (n,); an output that never moved had the largest."""
    per_step = np.abs(cotangent) * noise / steps[:, None]  # (n, m), over the first step
    return np.where(seen.moved, per_step / look.shares[-1], per_step).sum(axis=1)


Estimated = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # slopes (n, m), value, error, suspicious (n,)


def _of_one_step(seen: _Differences, cotangent: np.ndarray, rounding: np.ndarray, look: Look) -> Estimated:
    """Central differences. By how much the one-sided slopes differ, h F'', says of which order the truncation is: that
    of (h F'')^2 / F'.
    """
    slopes, gap = seen.central[0], seen.gaps[0]  # (n, m), (n,)
    value, size = slopes @ cotangent, np.abs(slopes) @ np.abs(cotangent)  # (n,)
    suspicious = (gap > BENT * size) & (gap > VISIBLE * rounding)
    truncation = np.where(gap > 0, gap * np.minimum(1.0, gap / size), 0.0)
    return _or_unknown(slopes, value, rounding + truncation, suspicious)


def _extrapolated(seen: _Differences, cotangent: np.ndarray, rounding: np.ndarray, look: Look) -> Estimated:
    """Richardson's extrapolation (see `differences.py`), whose last two steps up say how much is left."""
    amplified = [look.shares[-1] / share for share in look.shares]  # noise over that of the smallest step
    level, before = seen.central, []
    for order in range(1, look.steps):
        weight = look.ratio ** (-2 * order)
        before, level = level, [fine + (fine - coarse) / (weight - 1) for coarse, fine in pairwise(level)]
        amplified = [(weight * fine + coarse) / (weight - 1) for coarse, fine in pairwise(amplified)]
    slopes, value = level[0], level[0] @ cotangent  # (n, m), (n,)
    beside = before[-1:] if look.steps == 2 else before
    truncation = np.max([np.abs(value - lower @ cotangent) for lower in beside], axis=0)  # (n,)
    larger, smaller = seen.gaps[-2:]
    between = np.sqrt(look.ratio) * larger
    suspicious = (smaller > KEEPS * between) & (smaller > VISIBLE * rounding)
    kink = np.where(smaller > DOUBTFUL * between, 0.5 * smaller, 0.0)
    return _or_unknown(slopes, value, truncation + amplified[0] * rounding + kink, suspicious)


def _or_unknown(slopes: np.ndarray, value: np.ndarray, error: np.ndarray, suspicious: np.ndarray) -> Estimated:
    """The same, and nothing known where a number is not finite."""
    unknown = ~(np.isfinite(value) & np.isfinite(error))
    return slopes, np.where(unknown, 0.0, value), np.where(unknown, np.inf, error), suspicious
