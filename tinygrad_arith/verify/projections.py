"""Compares a large gradient with numerical derivatives: along random directions, and at sampled elements."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from .compare import Comparison, Lost, compare_elements, spread
from .differences import Estimate
from .probe import Probe
from .report import DIRECTIONS
from .tolerances import Tolerance
from .vacuous import refuse_kinks

__all__ = ["compare_projections"]

SAMPLES = 64
BLAMED = 8


def compare_projections(
    probe: Probe,
    analytic: np.ndarray,
    tolerance: Tolerance,
    dtype: str,
    projection_tolerance: Tolerance,
    rng: np.random.Generator,
    allow: Collection[str] = (),
    lost: Lost | None = None,
) -> Comparison:
    """Compares a large gradient along random directions, and at sampled elements (among them the largest entries).

    A direction u has unit length, so <g, u> is about the root mean square of g. Where a direction disagrees, halving
    it finds single elements to blame, which are then compared by themselves. `lost` says what the backward itself loses
    of its answers (see `cancellation.py`): a direction that this explains is undecided.
    """
    size = analytic.size
    largest = np.argsort(-np.abs(analytic.ravel()))[: SAMPLES // 8]
    sampled = set(rng.choice(size, min(SAMPLES, size), replace=False).tolist()) | set(largest.tolist())
    sampled -= {int(np.ravel_multi_index(index, analytic.shape)) for index in np.argwhere(~np.isfinite(probe.values))}
    failed: tuple[float, float] | None = None  # the slopes along the first direction that disagrees
    undecided = 0
    left_out = ~np.isfinite(probe.values)  # directions leave out elements without a derivative
    for _ in range(DIRECTIONS):
        direction = _random_direction(probe, rng)
        while failed is None:
            said, found, apart, allowed = _disagreement(probe, analytic, ~left_out * direction, projection_tolerance)
            if apart > found.error + allowed and found.kink is None:
                found = probe.beside_along(~left_out * direction, found, said)
                apart = abs(said - found.value)
            if apart <= found.error + allowed and found.kink is None:
                hidden = max(1.0, projection_tolerance.hidden / projection_tolerance.largest) * allowed
                undecided += bool(apart + found.error > hidden)
                break
            if found.kink is None and apart <= found.error + allowed + _lost_along(lost, ~left_out * direction):
                undecided += 1
                break
            blamed = _blame(probe, analytic, ~left_out * direction, projection_tolerance)
            kinks = [index for index in blamed if probe.refined(index, 0.0).kink and not left_out[index]]
            if kinks:  # where there is one there are more: all elements are looked at, once
                suspicious = spread(probe, probe.survey().suspicious.astype(float)) > 0
                sampled |= set(np.flatnonzero(suspicious)[:SAMPLES].tolist())
                left_out |= suspicious
            for index in kinks:
                left_out[index] = True
            sampled |= {int(np.ravel_multi_index(index, analytic.shape)) for index in blamed}
            failed = None if kinks else (said, found.value)
    indices = [tuple(int(i) for i in np.unravel_index(flat, analytic.shape)) for flat in sorted(sampled)]
    at_kinks = int((left_out & np.isfinite(probe.values)).sum())
    if 2 * at_kinks > size and "kinks" not in allow:
        refuse_kinks(probe.name, at_kinks, size)
    comparison = compare_elements(probe, analytic, tolerance, dtype, (*allow, "kinks"), indices, lost=lost)
    entry = comparison.entry
    if failed is not None and not entry.wrong and entry.undecided:  # it may be one of these
        failed, undecided = None, undecided + 1
    comparison.entry = replace(
        entry,
        method="projection",
        checked=entry.checked + DIRECTIONS,
        wrong=entry.wrong + (failed is not None),
        wrong_directions=int(failed is not None),
        slopes=failed,
        undecided=entry.undecided + undecided,
        undecided_directions=undecided,
        why_undecided=entry.why_undecided or ("rounding hides the slopes along random directions" if undecided else ""),
    )
    return comparison


def _random_direction(probe: Probe, rng: np.random.Generator) -> np.ndarray:
    """Normal numbers times the size of each element: a direction along which all elements change alike."""
    sizes = np.clip(probe.sizes, 0.1 * probe.typical, 10 * probe.typical)
    return rng.standard_normal(probe.shape) * np.where(np.isfinite(sizes), sizes, 0.0)


def _disagreement(
    probe: Probe, analytic: np.ndarray, direction: np.ndarray, tolerance: Tolerance
) -> tuple[float, Estimate, float, float]:
    """Along a direction: what the backward says, what the differences say, how far apart these are, what is allowed.

    The unit is what the entries of the gradient add up to if their signs are random.
    """
    said = float(np.vdot(analytic, direction))
    unit = float(np.sqrt(np.sum((analytic * direction) ** 2)))
    found = probe.along(direction, tolerance.largest * unit / 4)
    return said, found, abs(said - found.value), tolerance.largest * unit


def _lost_along(lost: Lost | None, direction: np.ndarray) -> float:
    """What the backward itself may lose along a direction, if all that it loses adds up."""
    found = None if lost is None else lost()
    return 0.0 if found is None else float(np.vdot(found, np.abs(direction)))


def _blame(probe: Probe, analytic: np.ndarray, direction: np.ndarray, tolerance: Tolerance) -> list[tuple[int, ...]]:
    """A few elements that make a direction disagree: the direction is halved until few are left."""
    positions = np.arange(analytic.size)
    while positions.size > BLAMED:
        halves = np.array_split(positions, 2)
        apart = []
        for half in halves:
            part = np.zeros(analytic.size)
            part[half] = direction.ravel()[half]
            found = _disagreement(probe, analytic, part.reshape(analytic.shape), tolerance)
            apart.append(np.inf if found[1].kink is not None else found[2])
        positions = halves[int(np.argmax(apart))]
    return [tuple(int(i) for i in np.unravel_index(flat, analytic.shape)) for flat in positions]
