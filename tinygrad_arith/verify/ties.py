"""Kinks that several elements share, such as a tie of a maximum: slopes along the tie.

At max(a, a) the slope by each argument is 0 to one side and 1 to the other, so 0 and 1 are right answers for each by
itself. Together (0, 0) and (1, 1) are not: along the tie, where both move alike, the maximum is smooth with slope 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np

from .differences import Estimate
from .probe import Probe

__all__ = ["wrong_along_ties"]

MOST_TIED = 12  # elements of one tie that are asked in pairs; larger ties are asked as a whole and in a chain
SMALL_GAP = 1e-6  # of an output's slopes, over its largest: there it has no kink


def wrong_along_ties(probe: Probe, kinks: Mapping[int, Estimate], analytic: Mapping[int, float]) -> set[int]:
    """The elements of ties along which the backward's answers do not add up to the slope.

    kinks:    the estimates at elements that lie at kinks, by their position in the array
    analytic: what the backward says there, between the slopes to both sides for each element by itself
    """
    wrong: set[int] = set()
    for tied in _groups(probe, kinks):
        rates = _rates(probe, tied)
        for members in _directions(tied):
            direction = {position: rates[position] for position in members}
            if not _adds_up(probe, direction, analytic):
                wrong.update(members)
    return wrong


def _groups(probe: Probe, kinks: Mapping[int, Estimate]) -> list[list[int]]:
    """Elements that bend the same outputs."""
    bent = {position: _bent_outputs(probe, position) for position in kinks}
    groups: list[tuple[list[int], np.ndarray]] = []
    for position, outputs in bent.items():
        shared = [group for group in groups if (group[1] & outputs).any()]
        members = [position, *(p for group in shared for p in group[0])]
        union = np.any([outputs, *(group[1] for group in shared)], axis=0)
        groups = [group for group in groups if all(group is not other for other in shared)] + [(sorted(members), union)]
    return [members for members, _ in groups if len(members) > 1]


def _bent_outputs(probe: Probe, position: int) -> np.ndarray:
    """The outputs with a kink by one element, (m,) bool."""
    left, right = _sides(probe, {position: 1.0})
    return np.abs(right - left) > SMALL_GAP * np.maximum(np.abs(left), np.abs(right)).max()


def _rates(probe: Probe, tied: Sequence[int]) -> dict[int, float]:
    """How fast, and in which direction, each element must move beside the first one for the tie to hold.

    Of max(2 a, b) the second must move twice as fast: an element's kink is as large as its share in the tie.
    """
    alone = {position: _gap(probe, {position: 1.0}) for position in tied}
    rates = {tied[0]: 1.0}
    for position in tied[1:]:
        rate = alone[tied[0]] / alone[position] if alone[position] else 1.0
        rates[position] = min(rate, -rate, key=lambda r: _gap(probe, {tied[0]: 1.0, position: r}))
    return rates


def _gap(probe: Probe, direction: Mapping[int, float]) -> float:
    left, right = _sides(probe, direction)
    return float(np.abs(probe.cotangent) @ np.abs(right - left))


def _directions(tied: Sequence[int]) -> list[Sequence[int]]:
    """Which elements are moved together: all, and two at a time."""
    pairs = list(combinations(tied, 2)) if len(tied) <= MOST_TIED else list(pairwise(tied))
    return [tied, *(pair for pair in pairs if len(tied) > 2)]


def _adds_up(probe: Probe, direction: Mapping[int, float], analytic: Mapping[int, float]) -> bool:
    """Does the backward's slope along a direction lie between those to both sides? Where the two are equal, there is
    one answer.
    """
    step = _step(probe, direction)
    left, right = _sides(probe, direction)
    sides = np.stack([probe.cotangent * left, probe.cotangent * right])  # (2, m)
    least, most = float(sides.min(axis=0).sum()), float(sides.max(axis=0).sum())
    slope = sum(rate * analytic[position] for position, rate in direction.items())
    size = sum(abs(rate * analytic[position]) for position, rate in direction.items()) + float(np.abs(sides).sum())
    slack = 2 * float(np.abs(probe.cotangent) @ probe.noise) / step + 1e-4 * size
    return least - slack <= slope <= most + slack


def _step(probe: Probe, direction: Mapping[int, float]) -> float:
    """Small beside each element, since other kinks may be near; large beside the rounding of a difference."""
    return min(probe.step_at(_index(probe, position)) for position in direction) / 16


def _sides(probe: Probe, direction: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray]:
    """The slopes of the outputs to the left and right along a direction, (m,) each."""
    at, step = _walker(probe, direction), _step(probe, direction)
    return (probe.here - at(-step)) / step, (at(step) - probe.here) / step


def _walker(probe: Probe, direction: Mapping[int, float]) -> Callable[[float], np.ndarray]:
    numbers = np.zeros(probe.shape)
    for position, rate in direction.items():
        numbers[_index(probe, position)] = rate
    return lambda step: probe.outputs_at(probe.values + step * numbers)


def _index(probe: Probe, position: int) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(position, probe.shape))
