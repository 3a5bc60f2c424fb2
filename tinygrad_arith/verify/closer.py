"""Before an accusation: what speaks for the answer, at steps smaller than those that contradict it?

- A kink that the curvature covers: of x^2 + 1e-9 relu(x) at 0 the one-sided slopes differ by far more than 1e-9 at any
  step that finds the slope. Its central difference is then the mean of two right answers, and neither of them is wrong.
- A forward with two scales: over steps that see x, x + 1e-6 sin(1e6 x) is x and a little noise. Its slope is another.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from .differences import Estimate, Line, Rung, rung_at
from .kinks import GROWS, HIDDEN, KEEPS, RATIO, kink_of
from .noise import noise_at
from .tableau import ENOUGH_RUNGS

__all__ = ["closer_by"]

ENDS = 1.5  # times the distance between answer and mean: the gap of a kink whose one side the answer is, and a margin
SMALLEST = 64  # times the spacing of numbers: a step
MUCH_SMALLER = 512.0  # one step over the next, where another scale is looked for
FITS = 0.25  # of the distance between answer and slope: so near to the answer, a smaller step speaks for it


def closer_by(line: Line, cotangent: np.ndarray, found: Estimate, answer: float) -> Estimate:
    """An estimate that contradicts an answer, after a look closer by: the kink of which the answer is a side, if there
    is one; an error as large as it may be where smaller steps fit the answer, or rounding covers such a kink.
    """
    depends = (line.at(found.step)[1] != line.here) | (line.at(-found.step)[1] != line.here)  # (m,)
    apart = abs(answer - found.value)
    if _fits_closer_by(line, cotangent, found, answer, depends):
        return replace(found, error=max(found.error, 2 * apart), beside_kink=False)
    step, rungs = found.step, list[Rung]()
    while step >= SMALLEST * float(np.spacing(line.scale)):
        rung = rung_at(line, cotangent, step, depends)
        if rung.sides != "both" or rung.gap < ENDS * apart:
            return found
        if HIDDEN * rung.noise > apart:
            return replace(found, error=max(found.error, 0.5 * rung.gap))
        rungs.append(rung)
        last = rungs[-ENOUGH_RUNGS:]
        if len(last) == ENOUGH_RUNGS and _stays(last):
            kink = kink_of(last, cotangent)
            rounding = noise_at(line.at, step, cotangent) / step  # what makes a kink may be that
            is_kink = HIDDEN * rounding < rung.gap and kink.least <= answer <= kink.most
            return kink if is_kink else found
        step /= RATIO
    return found


def _stays(rungs: list[Rung]) -> bool:
    """Does the gap neither fall nor grow?"""
    return all(KEEPS * before.gap < now.gap < GROWS * before.gap for before, now in pairwise(rungs))


def _fits_closer_by(line: Line, cotangent: np.ndarray, found: Estimate, answer: float, depends: np.ndarray) -> bool:
    """Does a step far smaller than those of the estimate give the answer, as far as rounding lets it be seen?"""
    apart, step = abs(answer - found.value), found.step / MUCH_SMALLER
    while step >= SMALLEST * float(np.spacing(line.scale)):
        rung = rung_at(line, cotangent, step, depends)
        if rung.sides != "both" or rung.noise > FITS * apart:
            return False
        if abs(float(cotangent @ rung.central) - answer) <= FITS * apart:
            return True
        step /= MUCH_SMALLER
    return False
