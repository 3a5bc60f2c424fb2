"""What the gap between the one-sided slopes says as the step falls: that of a smooth function falls with the step, that
of a kink stays, that of a jump or a vertical tangent grows.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from .differences import Estimate, Kink, Line, Rung, nothing_known
from .tableau import ENOUGH_RUNGS

__all__ = [
    "CLOSE", "FALLS", "GROWS", "HIDDEN", "KEEPS", "RATIO", "VANISHES", "doubt", "hides", "keeps_its_gap", "kink_of",
    "left_at_small_steps", "met_a_kink", "under_the_curvature", "vertical",
]  # fmt: skip

RATIO = 4.0  # of one step to the next
KEEPS = 0.6  # a smooth function's gap between one-sided slopes falls by RATIO with each step; one that keeps is a kink
FALLS = 0.4  # by less than that, the fall is not that of a smooth function
VANISHES = 0.01  # what is left of a gap when its jump lies beyond the step
GROWS = 1.5  # and one that grows by this is a jump, or a vertical tangent
CLOSE = 4  # steps below the scale over this are near enough to tell a kink from what bends over the scale itself
HIDDEN = 16  # below this many times the noise no rung can tell a kink from rounding


def keeps_its_gap(rungs: list[Rung], wanted: float) -> bool:
    """Does the gap between the one-sided slopes stay, from the rung before to this one, although it can be seen?"""
    if len(rungs) < 2 or rungs[-1].sides != "both" or rungs[-2].sides != "both":
        return False
    now, before = rungs[-1].gap, rungs[-2].gap
    return now > HIDDEN * rungs[-1].noise and now > wanted and now > KEEPS * before


def doubt(rungs: list[Rung]) -> float:
    """Half the gap between the one-sided slopes, where it does not fall as that of a smooth function would: a kink too
    small to be told from rounding may move the slope by so much.
    """
    if rungs[-1].sides != "both" or len(rungs) < 2 or rungs[-1].gap <= FALLS * rungs[-2].gap:
        return 0.0
    return 0.5 * rungs[-1].gap


def under_the_curvature(rungs: list[Rung]) -> bool:
    """Does something of the gap stay, when the part that falls with the step is taken off, from one step to the next?

    Of x^2 / 2 + relu(x - 1e-5) the gap falls almost as it should, over steps that are far larger than 1.
    """
    last = [rung for rung in rungs if rung.sides == "both"][-ENOUGH_RUNGS:]
    if len(last) < ENOUGH_RUNGS or ENOUGH_RUNGS < 3:
        return False
    left = [(RATIO * now.gap - before.gap) / (RATIO - 1) for before, now in pairwise(last)]
    before, now = left[-2:]
    return now > HIDDEN * last[-1].noise and KEEPS * before < now < GROWS * before


def hides(rung: Rung, larger: Rung) -> bool:
    """Would rounding hide, at this step, the gap that was there at the larger one?"""
    return larger.gap <= HIDDEN * rung.noise


def left_at_small_steps(line: Line, rungs: list[Rung], cotangent: np.ndarray, wanted: float) -> Estimate | None:
    """The kink that is left at the smallest steps at which it can be told from rounding."""
    seen = [rung for rung in rungs if rung.sides == "both" and rung.gap > HIDDEN * rung.noise and rung.gap > wanted]
    if len(seen) < ENOUGH_RUNGS or seen[-1].step > line.scale / CLOSE:
        return None
    after = next((rung for rung in rungs if rung.step < seen[-1].step), None)
    if after is not None and not hides(after, seen[-1]):
        return None
    gaps = [rung.gap for rung in seen[-ENOUGH_RUNGS:]]
    if not _by_factors(gaps, KEEPS):
        return None
    if _by_factors(gaps, GROWS):
        return replace(nothing_known(seen[-1], cotangent), jumps=True)
    return kink_of(seen, cotangent)


def kink_of(seen: list[Rung], cotangent: np.ndarray) -> Estimate:
    """The slopes to both sides at the step where curvature and rounding together blur them least."""
    best: Estimate | None = None
    for larger, rung in pairwise(seen[_since_kept(seen) :]):
        left = cotangent * (rung.left + (rung.left - larger.left) / (RATIO - 1))  # (m,), Richardson's rule
        right = cotangent * (rung.right + (rung.right - larger.right) / (RATIO - 1))  # (m,)
        changes = left - cotangent * rung.left, right - cotangent * rung.right
        curvature = sum(abs(float(change.sum())) for change in changes)
        slack = 4 * rung.noise + curvature + 1e-9 * float(np.abs(left).sum() + np.abs(right).sum())
        if best is None or slack < best.error:
            sides = np.stack([left, right])  # (2, m)
            kink = Kink((), float(left.sum()), float(right.sum()))
            least, most = float(sides.min(axis=0).sum()) - slack, float(sides.max(axis=0).sum()) + slack
            middle = 0.5 * (kink.left + kink.right)
            best = Estimate(middle, slack, rung.noise, rung.step, rung.central, kink, least, most)
    assert best is not None  # there are ENOUGH_RUNGS
    return best


def _since_kept(seen: list[Rung]) -> int:
    """From which rung on the gap stayed."""
    first = len(seen) - 1
    while first and seen[first].gap > KEEPS * seen[first - 1].gap and seen[first - 1].gap > KEEPS * seen[first].gap:
        first -= 1
    return min(first, len(seen) - 2)


def vertical(rungs: list[Rung], cotangent: np.ndarray) -> Estimate | None:
    """At an edge of the domain: a slope that grows without end, which no number is."""
    seen = [rung for rung in rungs if rung.sides == rungs[-1].sides][-ENOUGH_RUNGS - 1 :]
    slopes = [float(cotangent @ rung.slopes) for rung in seen]
    if len(seen) <= ENOUGH_RUNGS or not _by_factors(slopes, GROWS):
        return None
    return replace(nothing_known(seen[-1], cotangent), one_sided=True, jumps=True)


def met_a_kink(rungs: list[Rung]) -> bool:
    """Did the gap between the one-sided slopes stay over some steps, as that of a kink does, and vanish at smaller?"""
    gaps = [rung.gap for rung in rungs if rung.sides == "both" and rung.gap > HIDDEN * rung.noise]
    row, stayed = 1, 0.0
    for before, now in pairwise(gaps):
        row = row + 1 if KEEPS * before < now < GROWS * before else 1
        stayed = max(stayed, now) if row >= ENOUGH_RUNGS else stayed
    return bool(rungs) and rungs[-1].gap < VANISHES * stayed


def _by_factors(numbers: list[float], factor: float) -> bool:
    """Is each number larger than the one before times a factor, in size?"""
    return all(abs(later) > factor * abs(earlier) > 0 for earlier, later in pairwise(numbers))
