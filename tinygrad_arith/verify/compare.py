"""Compares one gradient with numerical derivatives: every element of a small input, projections of a large one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from .differences import Kink, Probe
from .report import DIRECTIONS, InputReport
from .tolerances import Tolerance
from .vacuous import refuse_kinks, refuse_steps

__all__ = ["Comparison", "compare_elements", "compare_projections"]

FIRST_LOOK = 6  # failing elements that are examined closely before all the others are
SAMPLES = 64
BLAMED = 8


@dataclass
class Comparison:
    """The entry for the report, and the arrays that the diagnosis works on (of the elements that were compared).

    `numeric` is exactly zero where the true gradient of all these elements is lost in rounding.
    """

    entry: InputReport
    analytic: np.ndarray
    numeric: np.ndarray
    wrong: np.ndarray
    complete: bool = True  # False: `analytic` and `numeric` are 1-D samples


@dataclass
class _Judgement:
    """The working state while single elements are judged: numeric values may be refined, elements become kinks."""

    probe: Probe
    indices: list[tuple[int, ...]]
    analytic: np.ndarray
    numeric: np.ndarray
    tolerance: Tolerance
    scale: float
    steps: dict[int, float] = field(default_factory=dict)
    kinks: dict[int, Kink] = field(default_factory=dict)

    def excess(self) -> np.ndarray:
        """|error| over the allowed error, per element; above 1 is wrong. Kinks count as right."""
        reference = np.append(self.numeric, self.scale)  # the scale is that of the whole gradient, not of the sample
        bound = self.tolerance.bound(reference)[:-1]
        if self.scale == 0.0:
            bound = np.full(self.numeric.shape, self.tolerance.zero * np.abs(self.probe.cotangent).max(initial=1.0))
        excess = np.abs(self.analytic - self.numeric) / bound
        excess[list(self.kinks)] = 0.0
        return np.where(np.isnan(excess), np.inf, excess)

    def examine(self, positions: list[int]) -> None:
        """A closer look at elements that seem wrong: is it a kink, and what does Richardson extrapolation say?"""
        for position in positions:
            index = self.indices[position]
            kink = self.probe.kink(index)
            if kink is None:
                refined = self.probe.refined(index)
                if refined.error <= abs(refined.value - self.numeric[position]):
                    self.numeric[position], self.steps[position] = refined.value, refined.step
            elif not kink.jump and self._between(kink, self.analytic[position]):
                self.kinks[position] = kink

    def _between(self, kink: Kink, analytic: float) -> bool:
        """At a kink any slope between the two sides' is a right answer; others are wrong even there."""
        slack = 1e-5 * max(abs(kink.left), abs(kink.right)) + self.probe.noise
        return min(kink.left, kink.right) - slack <= analytic <= max(kink.left, kink.right) + slack


def compare_elements(
    probe: Probe,
    analytic: np.ndarray,
    tolerance: Tolerance,
    dtype: str,
    allow: Collection[str] = (),
    indices: list[tuple[int, ...]] | None = None,
) -> Comparison:
    """Compares element by element: all of them, or those of `indices`. `analytic` is float64 of the probe's shape."""
    whole = indices is None
    indices = list(np.ndindex(probe.shape)) if indices is None else indices
    numeric = probe.gradient.ravel().copy() if whole else np.array([probe.element(index) for index in indices])
    sample = np.array([analytic[index] for index in indices], dtype=np.float64).reshape(len(indices))
    scale = float(np.abs(numeric).max(initial=0.0))
    judged = _Judgement(probe, indices, sample, numeric, tolerance, scale if scale > probe.noise else 0.0)
    excess = _judge(judged)
    mostly_kinks = 2 * len(judged.kinks) > len(indices) > 0
    vanishes = bool(np.abs(judged.numeric).max(initial=0.0) <= probe.noise)
    if indices and (mostly_kinks or vanishes or (excess > 1).any()) and probe.stepwise:
        refuse_steps(probe.name, *probe.stepwise)
    if mostly_kinks and "kinks" not in allow:
        refuse_kinks(probe.name, len(judged.kinks), len(indices))
    entry = _entry(judged, excess, dtype, "elements" if whole else "sampled")
    shape = probe.shape if whole else numeric.shape
    wrong = (excess > 1).reshape(shape)
    numeric = np.zeros_like(judged.numeric) if vanishes else judged.numeric
    return Comparison(entry, sample.reshape(shape), numeric.reshape(shape), wrong, whole)


def _judge(judged: _Judgement) -> np.ndarray:
    """The final excess per element: failing elements are examined, first a few, then, if those were right, all."""
    excess = judged.excess()
    failing = [int(i) for i in np.argsort(-excess) if excess[i] > 1]
    judged.examine(failing[:FIRST_LOOK])
    excess = judged.excess()
    if (excess[failing[:FIRST_LOOK]] <= 1).any():  # the plain differences were to blame: look at all the others too
        judged.examine(failing[FIRST_LOOK:])
        excess = judged.excess()
    return excess


def _entry(judged: _Judgement, excess: np.ndarray, dtype: str, method: str) -> InputReport:
    probe, error = judged.probe, np.abs(judged.analytic - judged.numeric)
    error[list(judged.kinks)] = 0.0
    size, checked, wrong = int(np.prod(probe.shape)), len(judged.indices), int((excess > 1).sum())
    if not judged.indices:
        return InputReport(probe.name, probe.shape, dtype, method, size)
    worst = int(np.argmax(excess)) if wrong else int(np.argmax(error))
    largest = float(error.max())
    return InputReport(
        probe.name,
        probe.shape,
        dtype,
        method,
        size,
        checked,
        wrong,
        largest_absolute_error=largest,
        largest_relative_error=largest / judged.scale if judged.scale else largest,
        where=judged.indices[worst],
        analytic=float(judged.analytic[worst]),
        numeric=float(judged.numeric[worst]),
        step=judged.steps.get(worst, probe.eps),
        region=_region([judged.indices[i] for i in np.flatnonzero(excess > 1)], judged.indices),
        kinks=tuple(judged.kinks[position] for position in sorted(judged.kinks)),
    )


def _region(wrong: list[tuple[int, ...]], checked: list[tuple[int, ...]]) -> str:
    """ ", all at index 3 of axis 1" where the wrong elements share one index of an axis of which more were checked."""
    if not wrong:
        return ""
    shared = [
        f"index {wrong[0][axis]} of axis {axis}"
        for axis in range(len(wrong[0]))
        if len({index[axis] for index in wrong}) == 1 < len({index[axis] for index in checked})
    ]
    return f", all at {' and '.join(shared)}" if shared and len(wrong) > 1 else ""


def compare_projections(
    probe: Probe,
    analytic: np.ndarray,
    tolerance: Tolerance,
    dtype: str,
    projection_tolerance: Tolerance,
    rng: np.random.Generator,
    allow: Collection[str] = (),
) -> Comparison:
    """Compares a large gradient along random directions, and at sampled elements (among them the largest entries).

    A direction u has unit length, so <g, u> is about the root mean square of g. Where a direction disagrees, halving
    it finds single elements to blame, which are then compared by themselves.
    """
    size = analytic.size
    largest = np.argsort(-np.abs(analytic.ravel()))[: SAMPLES // 8]
    sampled = set(rng.choice(size, SAMPLES, replace=False).tolist()) | set(largest.tolist())
    scale = float(np.sqrt(np.mean(analytic**2)))
    failed: tuple[float, float] | None = None  # the slopes along the first direction that disagrees
    at_kinks = np.zeros(analytic.shape, dtype=bool)
    for _ in range(DIRECTIONS):
        direction = rng.standard_normal(analytic.shape)
        direction /= np.linalg.norm(direction)
        while failed is None:
            slopes = _slopes(probe, analytic, ~at_kinks * direction)
            if abs(slopes[0] - slopes[1]) <= projection_tolerance.largest * scale + 0.1 * probe.noise:
                break
            blamed = _blame(probe, analytic, ~at_kinks * direction)
            kinks = [index for index in blamed if probe.kink(index) and not at_kinks[index]]
            for index in kinks:
                at_kinks[index] = True  # no derivative along this element: directions leave it out
            sampled |= {int(np.ravel_multi_index(index, analytic.shape)) for index in blamed}
            failed = None if kinks else slopes
    indices = [tuple(int(i) for i in np.unravel_index(flat, analytic.shape)) for flat in sorted(sampled)]
    comparison = compare_elements(probe, analytic, tolerance, dtype, allow, indices)
    entry = comparison.entry
    comparison.entry = InputReport(
        **{
            **entry.__dict__,
            "method": "projection",
            "checked": entry.checked + DIRECTIONS,
            "wrong": entry.wrong + (failed is not None),
            "wrong_directions": int(failed is not None),
            "slopes": failed,
        }
    )
    return comparison


def _slopes(probe: Probe, analytic: np.ndarray, direction: np.ndarray) -> tuple[float, float]:
    """Along a direction: what the backward says, what the differences say."""
    return float(np.vdot(analytic, direction)), probe.projection(direction)


def _blame(probe: Probe, analytic: np.ndarray, direction: np.ndarray) -> list[tuple[int, ...]]:
    """A few elements that make a direction disagree: the direction is halved until few are left."""
    positions = np.arange(analytic.size)
    while positions.size > BLAMED:
        halves = np.array_split(positions, 2)
        disagreements = []
        for half in halves:
            part = np.zeros(analytic.size)
            part[half] = direction.ravel()[half]
            numeric = probe.projection(part.reshape(analytic.shape))
            disagreements.append(abs(float(analytic.ravel() @ part) - numeric))
        positions = halves[int(np.argmax(disagreements))]
    return [tuple(int(i) for i in np.unravel_index(flat, analytic.shape)) for flat in positions]
