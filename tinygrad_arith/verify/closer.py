"""What smaller steps say: for an answer before it is accused, and against a slope before an answer passes by it.

- A kink that the curvature covers: of x^2 + 1e-9 relu(x) at 0 the one-sided slopes differ by far more than 1e-9 at any
  step that finds the slope. Its central difference is then the mean of two right answers, and neither of them is wrong.
- A forward with two scales: over steps that see x, x + 1e-6 sin(1e6 x) is x and a little noise. Its slope is another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from .differences import NOISE_MARGIN, Estimate, Line, Rung, rung_at
from .kinks import GROWS, HIDDEN, KEEPS, RATIO, kink_of
from .noise import IRREGULAR, noise_at, own_rounding, power_of_two
from .tableau import ENOUGH_RUNGS

__all__ = ["closer_by", "contradicted_closer_by", "given_by_the_smallest_steps", "slopes_nearby_enclose"]

ENDS = 1.5  # times the distance between answer and mean: the gap of a kink whose one side the answer is, and a margin
LARGER = (2.0, 16.0)  # times the smallest step that shows enough
OF_THE_SMALLEST = (1 / 8, 1.0, 16.0)  # times the smallest step that is taken else: from about 6 units in the last place
SHOWN = 1e-3  # of a slope: what a step must show of it, to say that it is another one
BESIDE, CLOSE_BESIDE = 2.0**-24, 2.0**-29  # of the elements' sizes: where points nearby lie, and the steps there
NEARBY_POINTS, NEARBY_ALIKE = 96, 1e-6  # how many at most, and the relative error of a slope there
NEARBY_WIDER = (1.0, 2.0**8, 2.0**14)  # times those distances, where rounding hides the slopes there
ALIKE_AT_MOST = 1e-3  # the largest such error by which an answer is known to be enclosed
FITS = 0.25  # of the distance between answer and slope: so near to the answer, a smaller step speaks for it


def closer_by(line: Line, cotangent: np.ndarray, found: Estimate, answer: float) -> Estimate:
    """An estimate that contradicts an answer, after a look closer by: the kink of which the answer is a side, if there
    is one; an error as large as it may be where smaller steps fit the answer, or rounding covers such a kink.
    """
    depends = found.column != 0  # (m,)
    apart = abs(answer - found.value)
    if _fits_closer_by(line, cotangent, found, answer, depends):
        return replace(found, error=max(found.error, 2 * apart), beside_kink=False)
    step, rungs = found.step, list[Rung]()
    while step >= line.smallest_step:
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


def slopes_nearby_enclose(
    outputs_at: Callable[[np.ndarray], np.ndarray],
    values: np.ndarray,
    index: tuple[int, ...],
    cotangent: np.ndarray,
    sizes: np.ndarray,
    noise: np.ndarray,
    answer: float,
) -> bool | None:
    """Does an answer at a kink lie between the slopes at points nearby, where there is none? None if rounding hides it.

    Of three equal numbers that are sorted, the middle one has a slope that neither side of its own kink shows.

    outputs_at: the outputs (m,) at other values, whose errors are bounded by `noise` (m,)
    sizes:      of the elements, of the array's shape
    """
    weights = np.abs(cotangent) * noise  # (m,)
    for wider in NEARBY_WIDER:
        slopes, moved = _slopes_nearby(outputs_at, values, index, cotangent, sizes * wider, answer)
        rounding = NOISE_MARGIN * float(weights[moved].sum()) / (CLOSE_BESIDE * wider * float(sizes[index]))
        slack = max(NEARBY_ALIKE * max(map(abs, slopes)), rounding)
        enclosed = min(slopes) - slack <= answer <= max(slopes) + slack
        if not enclosed or rounding <= ALIKE_AT_MOST * max(map(abs, slopes)):
            return enclosed
    return None


def _slopes_nearby(outputs_at, values, index, cotangent, sizes, answer) -> tuple[list[float], np.ndarray]:
    """Slopes of <c, F> at points nearby, until they enclose the answer; and which outputs moved there, (m,) bool."""
    rng, slopes, moved = np.random.default_rng(5), list[float](), np.zeros(cotangent.shape, dtype=bool)
    while len(slopes) < NEARBY_POINTS and not (slopes and min(slopes) <= answer <= max(slopes)):
        point = values + BESIDE * sizes * rng.uniform(-1.0, 1.0, values.shape)
        move = np.zeros(values.shape)
        move[index] = CLOSE_BESIDE * sizes[index]
        plus, minus = point + move, point - move
        difference = outputs_at(plus) - outputs_at(minus)  # (m,)
        moved |= difference != 0
        slopes.append(float(cotangent @ difference) / float(plus[index] - minus[index]))
    return slopes, moved


def given_by_the_smallest_steps(
    line: Line, cotangent: np.ndarray, depends: np.ndarray, answer: float, apart: float
) -> bool:
    """Do steps of a few units in the last place give an answer that is so far from what larger ones say?

    Of numbers that are sorted and differ in their last digits only, larger steps see several kinks, and make one of
    them, or a mean. What rounds is taken to be the outputs alone, of which those of `depends` (m,) bool change: a doubt
    in favour of the answer, no proof.
    """
    for larger in OF_THE_SMALLEST:
        step = IRREGULAR * power_of_two(line.smallest_step) * larger
        rung = rung_at(line, cotangent, step, np.ones(cotangent.shape, dtype=bool))
        (_, plus), (_, minus) = line.at(step), line.at(-step)
        own = own_rounding(np.fmax(np.abs(plus), np.abs(minus)))  # (m,)
        rounding = float((np.abs(cotangent) * own)[depends | (plus != minus)].sum()) / step
        shown = rung.sides == "both" and (plus != minus).any() and rounding <= FITS * apart
        if shown and abs(float(cotangent @ rung.central) - answer) <= FITS * apart and rung.gap <= 4 * rounding:
            return True
    return False


def contradicted_closer_by(line: Line, cotangent: np.ndarray, found: Estimate, allowed: float) -> bool:
    """Is the slope another one over a far smaller step, by more than is allowed? Asked is one so small that it still
    shows a thousandth of the slope.

    Such a forward has two scales, or is rounded within; which of its slopes is meant, the outputs do not say.
    """
    moved = (line.at(found.step)[1] != line.here) | (line.at(-found.step)[1] != line.here)  # (m,)
    rounding = line.rounding(cotangent, moved)
    size = max(SHOWN * abs(found.value), allowed)
    if size == 0.0 or not moved.any():
        return False
    step = IRREGULAR * power_of_two(max(8 * rounding / size, line.smallest_step))
    if step > found.step / RATIO**2:
        return False
    rung = rung_at(line, cotangent, step, moved)
    apart = abs(float(cotangent @ rung.central) - found.value)
    if rung.sides != "both" or apart <= 2 * size + found.error + 4 * rung.noise:
        return False
    return apart > 4 * noise_at(line.at, step, cotangent) / step


def _fits_closer_by(line: Line, cotangent: np.ndarray, found: Estimate, answer: float, depends: np.ndarray) -> bool:
    """Does a smaller step than that of the estimate give the answer? Asked are the smallest ones over which rounding
    lets the difference between answer and estimate be seen.
    """
    apart = abs(answer - found.value)
    rounding = line.rounding(cotangent, depends)
    smallest = max(rounding / (FITS * apart), line.smallest_step)
    for larger in LARGER:
        step = IRREGULAR * power_of_two(smallest) * larger
        if step >= found.step:
            return False
        rung = rung_at(line, cotangent, step, depends)
        if rung.sides == "both" and abs(float(cotangent @ rung.central) - answer) <= FITS * apart:
            return True
    return False
