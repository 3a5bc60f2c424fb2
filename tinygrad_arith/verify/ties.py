"""Kinks that several elements share, such as a tie of a maximum: slopes along the tie.

At max(a, a) the slope by each argument is 0 to one side and 1 to the other, so 0 and 1 are right answers for each by
itself. Together (0, 0) and (1, 1) are not: along the tie, where both move alike, the maximum is smooth with slope 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np

from .probe import Probe

__all__ = ["wrong_along_ties"]

MOST_TIED = 12  # elements of one tie that are asked in pairs; larger ties are asked as a whole and in a chain
SMALL_GAP = 1e-6  # of an output's slopes, over its largest: there it has no kink


def wrong_along_ties(probe: Probe, analytic: Mapping[int, float]) -> set[int]:
    """The elements of ties along which the backward's answers do not add up to the slope.

    analytic: what the backward says at elements that lie at kinks, by their position in the array; each is between the
              slopes to both sides, as far as that element goes
    """
    wrong: set[int] = set()
    for tied in _groups(probe, analytic):
        rates = _rates(probe, tied)
        for members in _directions(probe, tied):
            direction = {position: rates[position] for position in members}
            if not _adds_up(probe, direction, analytic):
                wrong.update(members)
    return wrong


def _groups(probe: Probe, kinks: Iterable[int]) -> list[list[int]]:
    """Elements that bend the same outputs: all that are linked by some."""
    group_of: dict[int, int] = {}  # by output
    members: dict[int, list[int]] = {}
    for position in kinks:
        outputs = np.flatnonzero(_bent_outputs(probe, position)).tolist()
        joined = {group_of[output] for output in outputs if output in group_of}
        members[position] = [position, *(p for group in joined for p in members.pop(group))]
        for member in members[position]:
            bends = outputs if member == position else [o for o, group in group_of.items() if group in joined]
            group_of.update(dict.fromkeys(bends, position))
    return [sorted(group) for group in members.values() if len(group) > 1]


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
    alike = {position: abs(rate) for position, rate in rates.items()}  # of five that are sorted, any two may part
    return min(rates, alike, key=lambda each: _gap(probe, each))


def _gap(probe: Probe, direction: Mapping[int, float]) -> float:
    left, right = _sides(probe, direction)
    return float(np.abs(probe.cotangent) @ np.abs(right - left))


def _directions(probe: Probe, tied: Sequence[int]) -> list[Sequence[int]]:
    """Which elements are moved together: all, and two at a time where they alone bend an output. (Of three equal
    numbers that are sorted, two that move leave the third between them: what they add up to depends on its place.)
    """
    if len(tied) == 2:
        return [tied]
    bent = {position: _bent_outputs(probe, position) for position in tied}
    count = np.sum(list(bent.values()), axis=0)  # (m,), how many of them bend each output
    pairs = combinations(tied, 2) if len(tied) <= MOST_TIED else pairwise(tied)
    return [tied, *((a, b) for a, b in pairs if (bent[a] & bent[b] & (count == 2)).any())]


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
    return float(probe.steps([_index(probe, position) for position in direction]).min()) / 16


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
