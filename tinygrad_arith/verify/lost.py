"""Is an answer wrong that is off by less than float64 loses where numbers of the largest entry's size cancel?

`sigmoid(x) - 1` is off by all of itself where it is 1e-18, beside entries of 1; so is a backward that forgets the
element. They differ elsewhere: such elements are moved to where the largest entry is found, and the backward is asked
again. Where it is wrong with a large entry, it is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .probe import Probe
from .tolerances import Tolerance

__all__ = ["LOST", "Answers", "wrong_at_large_entries"]

LOST = 2.0**-40  # of the largest entry: a right backward may lose so much, where numbers far larger than it cancel
NUDGE = 1 + 2.0**-12  # of the element with the largest entry: its answer changes, if the backward sees the inputs
LARGE = 2.0**-20  # of the largest entry: an entry that tells, where the elements were moved

Answers = Callable[[np.ndarray], np.ndarray | None]  # the backward's gradient at other values of its input


def wrong_at_large_entries(
    probe: Probe,
    lost: Sequence[tuple[int, ...]],
    beside: tuple[int, ...],
    size: float,
    answers: Answers,
    tolerance: Tolerance,
) -> list[bool]:
    """Which of some elements have wrong answers when all of them have the value of the element `beside`, whose entry,
    of this size, is the largest.
    """
    moved = probe.values.copy()
    moved[beside] *= NUDGE
    for index in lost:
        moved[index] = moved[beside]
    found, before = answers(moved.copy()), answers(probe.values)
    if found is None or before is None or np.array_equal(found, before):  # it does not see where it is asked
        return [False] * len(lost)
    there = Probe(probe.name, moved, lambda: probe.outputs_at(moved), probe.cotangent, probe.eps)
    return [_is_wrong(there, index, float(found[index]), LARGE * size, tolerance) for index in lost]


def _is_wrong(there: Probe, index: tuple[int, ...], answer: float, large: float, tolerance: Tolerance) -> bool:
    slope = there.refined(index, tolerance.relative * large / 4)
    if slope.kink is not None or not abs(slope.value) - slope.error > large:
        return False
    slope = there.confirmed(index, tolerance.relative * abs(slope.value) / 4)
    return slope.kink is None and abs(answer - slope.value) - slope.error > tolerance.relative * abs(slope.value)
