"""Compares one gradient with numerical derivatives, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from .judgement import SMALLER, Bounds, Judgement, first_survey, judge
from .lost import Answers
from .probe import Probe
from .report import InputReport
from .tolerances import Tolerance
from .vacuous import refuse_kinks, refuse_steps

__all__ = ["Comparison", "compare_elements", "spread"]


FEW_DIGITS = 2.0**-1000  # a number far below has no steps to either side that are small beside it

Lost = Callable[[], np.ndarray | None]


@dataclass
class Comparison:
    """The entry for the report, and the arrays that the diagnosis works on (of the elements that were compared).

    `vanishes` says that the true gradient of all these elements is zero up to rounding; `numeric` is exactly zero then.
    """

    entry: InputReport
    analytic: np.ndarray
    numeric: np.ndarray
    wrong: np.ndarray
    complete: bool = True  # False: `analytic` and `numeric` are 1-D samples
    vanishes: bool = False
    decided: np.ndarray | None = None  # which elements are passed or wrong, but for those at kinks; None: all


def compare_elements(
    probe: Probe,
    analytic: np.ndarray,
    tolerance: Tolerance,
    dtype: str,
    allow: Collection[str] = (),
    indices: list[tuple[int, ...]] | None = None,
    unsteady: np.ndarray | None = None,
    count_all: bool = True,
    answers: Answers | None = None,
    lost: Lost | None = None,
) -> Comparison:
    """Compares element by element: all of them, or those of `indices`. `analytic` is float64 of the probe's shape.

    `unsteady` (of that shape) is how far the analytic gradient itself is unknown, since its inputs are rounded.
    `count_all`: see `judge`. `answers` asks the backward at other values of this input (see `lost.py`), `lost` what
    it loses of its answers, of that shape (see `cancellation.py`).

    An entry of float64 is measured by those that reach the same outputs. One of lower precision has the rounding of its
    own backward, which may come from any entry, and is measured by the largest of all.
    """
    whole, chosen = indices is None, probe.indices if indices is None else indices
    survey = first_survey(probe, indices)
    sample = _chosen(probe, analytic, indices)
    if dtype != "float64":  # what lies below the normal numbers of the gradient's dtype has no digits
        no_digits = np.where(analytic != 0, smallest_normal(dtype), 0.0)
        unsteady = no_digits if unsteady is None else unsteady + no_digits
    judged = Judgement(
        probe, chosen, sample, survey.value.copy(), survey.error.copy(), survey.suspicious.copy(),
        None if survey.columns is None else survey.columns.copy(), tolerance, whole and dtype == "float64",
        np.zeros(len(chosen)), probe.sizes_of(indices), probe.steps(indices) / SMALLER,
        None if unsteady is None else _chosen(probe, unsteady, indices), answers,
        partial(_lost, probe, lost, indices),
    )  # fmt: skip
    judge(judged, count_all)
    bounds = judged.bounds()
    wrong, undecided = judged.verdicts(bounds)
    mostly_kinks, vanishes = 2 * len(judged.kinks) > len(chosen) > 0, judged.vanishes()
    if len(chosen) and not wrong.any():
        unseen = (judged.uncertainty > tolerance.relative * np.abs(judged.numeric)).any()  # passed for want of sight
        if (mostly_kinks or vanishes or undecided.any() or (unseen and probe.like_float32)) and probe.stepwise:
            refuse_steps(probe.name, *probe.stepwise)
    if mostly_kinks and "kinks" not in allow:
        refuse_kinks(probe.name, len(judged.kinks), len(chosen))
    entry = _entry(judged, bounds, wrong, undecided, dtype, "elements" if whole else "sampled")
    numeric = np.zeros_like(judged.numeric) if vanishes else judged.numeric
    decided = ~undecided
    decided[list(judged.outside)] = False
    if not whole:
        return Comparison(entry, sample, numeric, wrong, False, vanishes, decided)
    return Comparison(
        entry, analytic, spread(probe, numeric), spread(probe, wrong.astype(float)) > 0, True, vanishes,
        spread(probe, decided.astype(float)) > 0,
    )  # fmt: skip


def smallest_normal(dtype: str) -> float:
    """The smallest number of a dtype that has all its digits."""
    return float(np.finfo(dtype).smallest_normal) if dtype in ("float16", "float32") else 2.0**-126


def _chosen(probe: Probe, array: np.ndarray, indices: Sequence[tuple[int, ...]] | None) -> np.ndarray:
    """The numbers of an array at these elements, or at all that have a derivative (n,)."""
    if indices is None:
        return np.asarray(array[np.isfinite(probe.values)], dtype=np.float64)
    return np.array([array[index] for index in indices], dtype=np.float64).reshape(len(indices))


def _lost(probe: Probe, lost: Lost | None, indices: Sequence[tuple[int, ...]] | None) -> np.ndarray:
    """What the backward loses of its answers at these elements (n,)."""
    found = None if lost is None else lost()
    return _chosen(probe, np.zeros(probe.shape) if found is None else found, indices)


def spread(probe: Probe, numbers: np.ndarray) -> np.ndarray:
    """Numbers of the probe's elements in an array of its shape; 0 at elements without a derivative."""
    whole = np.zeros(probe.shape)
    whole[np.isfinite(probe.values)] = numbers
    return whole


def _entry(
    judged: Judgement, bounds: Bounds, wrong: np.ndarray, undecided: np.ndarray, dtype: str, method: str
) -> InputReport:
    probe, size = judged.probe, math.prod(judged.probe.shape)
    if not len(judged.indices):
        return InputReport(probe.name, probe.shape, dtype, method, size)
    strict, allowed, sizes, _ = bounds
    off, scale = np.abs(judged.analytic - judged.numeric), float(sizes.max(initial=0.0))
    off[list(judged.kinks)] = 0.0
    if wrong.any():
        off[undecided] = 0.0  # what is said of the largest error is known
    with np.errstate(all="ignore"):
        by = off / strict if wrong.any() else (off + judged.uncertainty) / allowed if undecided.any() else off
    counted = wrong if wrong.any() else undecided if undecided.any() else np.ones_like(wrong)
    worst = int(np.argmax(np.where(counted, np.nan_to_num(by, nan=0.0), -1.0)))
    return InputReport(
        probe.name, probe.shape, dtype, method, size,
        checked=len(judged.indices),
        wrong=int(wrong.sum()),
        undecided=int(undecided.sum()),
        largest_absolute_error=float(off.max()),
        largest_relative_error=float(off.max()) / scale if scale else float(off.max()),
        where=tuple(int(i) for i in judged.indices[worst]),
        analytic=float(judged.analytic[worst]),
        numeric=float(judged.numeric[worst]),
        step=float(judged.steps[worst]),
        known_to=float(judged.uncertainty[worst]),
        asked=float(allowed[worst]),
        why_undecided=_why_undecided(judged, worst) if undecided[worst] else "",
        region=_region([judged.indices[int(i)] for i in np.flatnonzero(wrong)], judged.indices),
        kinks=tuple(judged.kinks[position] for position in sorted(judged.kinks)),
        at_kink=judged.outside.get(worst),
    )  # fmt: skip


def _why_undecided(judged: Judgement, position: int) -> str:
    """What limits the differences at one element, and what would decide it."""
    found, probe = judged.examined.get(position), judged.probe
    if judged.two_scales:
        return (
            "over far smaller steps the slopes are others: the forward has two scales, and nobody knows which is meant"
        )
    if found is not None and found.jumps:
        return "the forward jumps there or nearby, or is vertical: inputs away from such places would decide it"
    if judged.sizes[position] < FEW_DIGITS:
        return f"the element, of size {judged.sizes[position]:.1e}, has few digits itself: larger ones would decide it"
    largest = float(judged.bounds().sizes.max(initial=0.0))
    if judged.lost is not None and judged.lost[position] > judged.bounds().strict[position]:
        return (
            f"the backward itself is rounded there at up to {judged.lost[position]:.1e}: nearly equal numbers cancel "
            "in it, as in `x - x.mean()` with a large offset, or `dy - (dy * p).sum()` where p is near 1; inputs "
            "without that would decide it"
        )
    if judged.distance[position] > judged.uncertainty[position] + judged.bounds().strict[position]:
        return (
            f"the answer is off by less than float64 loses beside the largest entry, {largest:.1e}: nearly equal "
            "numbers may cancel in the backward, as in `1 - p` or `1 + tanh`; entries of like size would decide it"
        )
    rounding = 4 * float(np.abs(probe.cotangent) @ probe.noise) / judged.sizes[position]
    if found is not None and found.noise < 0.5 * found.error and rounding < judged.bounds().allowed[position]:
        return (
            "no step shows the slope: the forward changes too fast, or its domain ends there; inputs that lie farther "
            "from such places would decide it"
        )
    size, noise = float(np.abs(probe.here).max(initial=0.0)), float(probe.noise.max(initial=0.0))
    return (
        f"the outputs, of size {size:.1e}, are rounded at {noise:.1e}: outputs without a large offset, inputs that "
        "move them more, or a forward in a wider dtype would decide it"
    )


def _region(wrong: Sequence[tuple[int, ...]], checked: Sequence[tuple[int, ...]]) -> str:
    """ ", all at index 3 of axis 1" where the wrong elements share one index of an axis of which more were checked."""
    if not wrong:
        return ""
    shared = [
        f"index {wrong[0][axis]} of axis {axis}"
        for axis in range(len(wrong[0]))
        if len({index[axis] for index in wrong}) == 1 < len({index[axis] for index in checked})
    ]
    return f", all at {' and '.join(shared)}" if shared and len(wrong) > 1 else ""
