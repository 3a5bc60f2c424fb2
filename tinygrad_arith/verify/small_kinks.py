"""A kink that the curvature covers: of x^2 + 1e-9 relu(x) at 0 the one-sided slopes differ by far more than 1e-9 at any
step that finds the slope. Its central difference is then the mean of two right answers, and neither of these is wrong.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from .differences import Estimate, Line, Rung, rung_at
from .kinks import HIDDEN, KEEPS, RATIO, kink_of
from .tableau import ENOUGH_RUNGS

__all__ = ["with_small_kink"]

ENDS = 1.5  # times the distance between answer and mean: the gap of a kink whose one side the answer is, and a margin
SMALLEST = 64  # times the spacing of numbers: a step


def with_small_kink(line: Line, cotangent: np.ndarray, found: Estimate, answer: float) -> Estimate:
    """An estimate that contradicts an answer, after a look for a kink of which the answer is a side: that kink if there
    is one, an error as large as it may be if rounding covers it.
    """
    apart = abs(answer - found.value)
    depends = (line.at(found.step)[1] != line.here) | (line.at(-found.step)[1] != line.here)  # (m,)
    step, rungs = found.step, list[Rung]()
    while step >= SMALLEST * float(np.spacing(line.scale)):
        rung = rung_at(line, cotangent, step, depends)
        if rung.sides != "both" or rung.gap < ENDS * apart:
            return found
        if HIDDEN * rung.noise > apart:
            return replace(found, error=max(found.error, 0.5 * rung.gap))
        rungs.append(rung)
        last = rungs[-ENOUGH_RUNGS:]
        if len(last) == ENOUGH_RUNGS and all(now.gap > KEEPS * before.gap for before, now in pairwise(last)):
            kink = kink_of(last, cotangent)
            return kink if kink.least <= answer <= kink.most else found
        step /= RATIO
    return found
