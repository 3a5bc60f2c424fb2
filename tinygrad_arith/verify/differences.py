"""The slope of <c, F> along one line, with a bound on its error: central differences at falling steps, Richardson
extrapolation, rounding noise, kinks and the edges of a domain.

F are the outputs as one vector (m,), c is the cotangent (m,). The difference of the outputs is taken before the product
with c: outputs that do not depend on the element cancel exactly, and their rounding never enters.

Two errors limit a difference at step h. Truncation falls with h, by h^2 F'''/6; rounding grows, by noise/h. Neither
is guessed from the value found: the noise is measured (see noise.py) and enters every bound, so a difference of two
outputs that rounding made equal is 0 give or take noise/h, and no exact zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from .noise import own_rounding, power_of_two

__all__ = [
    "ENOUGH_RUNGS", "HIDDEN", "KEEPS", "NOISE_MARGIN", "RATIO", "Estimate", "Kink", "Line", "Rung", "estimate_slope",
    "kink_of", "rung_at",
]  # fmt: skip

NOISE_MARGIN = 1.25  # on the noise of every difference
RATIO = 4.0  # of one step to the next
MOST_RUNGS = 34
LEVELS = 6  # of the extrapolation: beyond, only rounding is added
ENOUGH_RUNGS = 3  # fewer say nothing about truncation
MANY_RUNGS = 20  # on one side only: a smaller step may reach both
KEEPS = 0.6  # a smooth function's gap between one-sided slopes falls by RATIO with each step; one that keeps is a kink
FALLS = 0.4  # by less than that, the fall is not that of a smooth function
VANISHES = 0.01  # what is left of a gap when its jump lies beyond the step
GROWS = 1.5  # and one that grows by this is a jump, or a vertical tangent
CLOSE = 4  # steps below the scale over this are near enough to tell a kink from what bends over the scale itself
CLOSELY = 1e-6  # the relative error that is enough where nobody knows what is wanted
PLAIN = 64  # units in the last place of outputs and inputs: what moves them no more is rounding and nothing else
IN_A_ROW, AWAY = 3, 16.0  # steps that agree on a slope, and how much larger they are than those that found another
SETTLED = 1e-5  # the relative error of a slope that is no chance agreement of two differences
HIDDEN = 16  # below this many times the noise no rung can tell a kink from rounding


Sides = Literal["both", "right", "left", "none"]


@dataclass(frozen=True)
class Kink:
    """A point without a derivative: the slopes to its left and right."""

    index: tuple[int, ...]
    left: float
    right: float


@dataclass(frozen=True)
class Estimate:
    """A slope: its value, a bound on its error, the part of that bound that is rounding, and the step that gave it.

    `column` are the slopes of the single outputs (m,). At a kink every slope from `least` to `most` is a right answer:
    where several outputs have their kinks here, each may take a side of its own. `one_sided` says that the forward ends
    here: the slope is that to the side where it is defined. `jumps` says that it jumps here, or is vertical: there is
    no slope, and nothing is known. `beside_kink` says that larger steps met a kink. `still` is the distance over which
    no output moved at all, where the slope is said to be 0 for that reason.
    """

    value: float
    error: float
    noise: float
    step: float
    column: np.ndarray
    kink: Kink | None = None
    least: float = np.nan
    most: float = np.nan
    one_sided: bool = False
    jumps: bool = False
    beside_kink: bool = False
    still: float = 0.0


@dataclass(frozen=True)
class Line:
    """The outputs along a line through the point in question.

    `at(t)` returns the distance that was really gone (t may not fit the floating-point numbers there) and the outputs
    (m,), not finite where the forward has none; `here` are those at 0, `noise` (m,) their likely errors. `scale` is the
    distance over which the point changes by as much as itself, `limit` the farthest that makes sense.
    """

    at: Callable[[float], tuple[float, np.ndarray]]
    here: np.ndarray
    noise: np.ndarray
    scale: float
    limit: float


@dataclass(frozen=True)
class Rung:
    """Differences at one step: slopes per output (m,), the bound on what rounding does to <c, slope>, and the gap
    sum |c| |right - left|. `sides` are those on which the forward has values.
    """

    step: float
    left: np.ndarray
    right: np.ndarray
    central: np.ndarray
    noise: float
    gap: float
    sides: Sides

    @property
    def slopes(self) -> np.ndarray:
        """The central slopes, or those of the one side on which there are values (m,)."""
        return {"left": self.left, "right": self.right}.get(self.sides, self.central)


def rung_at(line: Line, cotangent: np.ndarray, step: float, depends: np.ndarray) -> Rung:
    """The differences along a line at one step; `depends` (m,) bool are the outputs whose rounding counts."""
    (ahead, plus), (behind, minus) = line.at(step), line.at(-step)
    weights = np.abs(cotangent)
    with np.errstate(all="ignore"):
        right = (plus - line.here) / ahead  # (m,)
        left = (minus - line.here) / behind  # (m,)
        central = (plus - minus) / (ahead - behind)  # (m,)
        gap = float(weights @ np.abs(right - left))
    bound = NOISE_MARGIN * float((weights * _noise_at(line, plus, minus))[depends].sum()) / step
    with_left, with_right = bool(np.isfinite(minus).all()), bool(np.isfinite(plus).all())
    sides: Sides = "both" if with_left and with_right else "right" if with_right else "left" if with_left else "none"
    return Rung(step, left, right, central, bound, gap, sides)


def _noise_at(line: Line, plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
    """The noise of the outputs (m,): more than at the point where they are larger, and none of those that are exact."""
    with np.errstate(invalid="ignore"):
        own = own_rounding(np.fmax(np.abs(plus), np.abs(minus)))  # (m,), NaN where there is no output
    return np.where(line.noise > 0, np.fmax(line.noise, own), 0.0)


@dataclass
class _Tableau:
    """Richardson extrapolation over the rungs so far (C. Ridders, "Accurate computation of F'(x) and F'(x)F''(x)",
    Advances in Engineering Software 4, 1982), with the noise carried along: the entry with the smallest sum of both
    errors wins.

    factor: by which the error of a slope falls from one step to the next: RATIO^2 for central differences, RATIO for
            one-sided ones; its powers in the columns after the first
    """

    cotangent: np.ndarray
    factor: float
    best: Estimate | None = None
    _previous: list[tuple[np.ndarray, float]] = field(default_factory=list)  # slopes (m,) and noise, by level
    _differences: list[float] = field(default_factory=list)  # without extrapolation

    @property
    def rows(self) -> int:
        """How many steps it has."""
        return len(self._differences)

    def add(self, slopes: np.ndarray, noise: float, step: float, doubt: float = 0.0) -> None:
        """One more row: slopes (m,) at the next smaller step; `doubt` is added to the error of its entries.

        A slope that the smaller step contradicts was a chance agreement of larger ones, and is given up.
        """
        if self.best is not None:
            apart = abs(float(self.cotangent @ slopes) - self.best.value)
            if apart > self.best.error + 2 * noise:
                self.best = None
        row = [(slopes, noise)]
        for level, (coarser, coarser_noise) in enumerate(self._previous[:LEVELS], start=1):
            weight = self.factor**level
            finer, finer_noise = row[-1]
            row.append(
                (finer + (finer - coarser) / (weight - 1), (weight * finer_noise + coarser_noise) / (weight - 1))
            )
        self._keep_best(row, step, doubt)
        self._previous = row

    def _keep_best(self, row: list[tuple[np.ndarray, float]], step: float, doubt: float) -> None:
        values = [float(self.cotangent @ slopes) for slopes, _ in row]
        self._differences.append(values[0])
        if len(self._differences) < ENOUGH_RUNGS:
            return
        doubt += self._unproved_order()
        for level in range(1, len(row)):
            beside = float(self.cotangent @ self._previous[level - 1][0])
            truncation = max(abs(values[level] - values[level - 1]), abs(values[level] - beside))
            error = truncation + row[level][1] + doubt
            if self.best is None or error < self.best.error:
                self.best = Estimate(values[level], error, row[level][1], step, row[level][0])

    def _unproved_order(self) -> float:
        """A part of the difference between two steps, unless three show that the error falls as it should.

        Two differences may agree by chance where the steps are still too large; the third tells.
        """
        first, second, third = self._differences[-ENOUGH_RUNGS:]
        earlier, last = abs(second - first), abs(third - second)
        if self.factor / 2 <= (earlier / last if last else np.inf) <= 2 * self.factor:
            return 0.0
        return max(last, earlier / self.factor) / 4


def estimate_slope(line: Line, cotangent: np.ndarray, wanted: float, share: float = 1.0) -> Estimate:
    """The slope of <c, F> along a line, at steps from large to small, until its error is below `wanted` or rounding
    makes every further step worse.

    share: of the usual steps, for a second look at other ones
    """
    top = power_of_two(0.5 * line.scale) * share
    depends, unseen, reached = _reached(line, cotangent, wanted, top)
    if not depends.any():
        return Estimate(0.0, unseen, unseen, top, np.zeros_like(line.here), still=reached)
    ladder = _Ladder(line, cotangent, wanted)
    step, smallest = _first_step(line, cotangent, wanted, top, depends, share), 64 * float(np.spacing(line.scale))
    while len(ladder.rungs) < MOST_RUNGS and step >= smallest and not ladder.done:
        ladder.add(rung_at(line, cotangent, step, depends))
        step /= RATIO
    return ladder.conclusion(unseen)


@dataclass
class _Ladder:
    """The rungs so far, from large steps to small, and what they say.

    settled: a slope on which larger steps had settled before rounding took over
    """

    line: Line
    cotangent: np.ndarray
    wanted: float
    rungs: list[Rung] = field(default_factory=list)
    sides: str = ""
    suspect: bool = False
    done: bool = False
    settled: Estimate | None = None
    amplitude: float = 0.0  # of what the outputs do since, over steps of any size
    jumps: float = 0.0  # the gap that jumps beside the point made

    def __post_init__(self) -> None:
        self.tableau = _Tableau(self.cotangent, RATIO**2)

    def add(self, rung: Rung) -> None:
        """One more rung, of a smaller step."""
        self.rungs.append(rung)
        if rung.sides == "none":
            return
        was_suspect, self.suspect = self.suspect, _keeps_its_gap(self.rungs, self.wanted)
        self._look_for_jumps()
        if self._rounding_took_over():
            self._settle(rung)
        elif rung.sides != self.sides or self.suspect:  # what larger steps saw lies beyond an edge or a kink
            self._start_again(rung)
        if was_suspect and _hides(rung, self.rungs[-2]):
            self.done = True  # no smaller step could tell the kink from rounding
            return
        one_sided = rung.sides != "both"
        self.tableau.add(rung.slopes, rung.noise * (1 + one_sided), rung.step, _doubt(self.rungs))
        best = self.tableau.best
        if best is not None and not self.suspect and not was_suspect:
            enough = self.tableau.rows >= (MANY_RUNGS if one_sided else ENOUGH_RUNGS)
            close = self.wanted or CLOSELY * abs(best.value)
            found = best.error <= close or rung.noise > HIDDEN * best.error
            self.done = enough and found and self._calm()

    def _calm(self) -> bool:
        """Does the gap fall as that of a smooth function would, or is it lost in rounding? One that does neither, small
        as it may be over a large step, is made by something that smaller steps will show.
        """
        now, before = self.rungs[-1], self.rungs[-2]
        return now.sides != "both" or now.gap <= max(FALLS * before.gap, 8 * now.noise)

    def _rounding_took_over(self) -> bool:
        """Did the larger steps settle on a slope, and does the gap between the one-sided ones grow since?

        The gap of a smooth function falls with the step, that of a kink stays. One that grows is made by rounding, more
        of it than was known.
        """
        if len(self.rungs) < 2 or self.rungs[-1].sides != "both":
            return False
        now, before, best = self.rungs[-1], self.rungs[-2], self.settled or self.tableau.best
        if best is None or best.error > SETTLED * abs(best.value):
            return False
        return now.gap > GROWS * before.gap and now.gap > 4 * now.noise

    def _look_for_jumps(self) -> None:
        """Did the gap grow while the step fell, and vanish now? Then there are jumps beside the point, farther off than
        the last step: a rounding within, or a forward that has them. Which of the slopes is meant, the outputs do not
        say.
        """
        both = [rung for rung in self.rungs if rung.sides == "both"]
        if len(both) < ENOUGH_RUNGS or both[-1] is not self.rungs[-1]:
            return
        *larger, before, now = both
        grew = before.gap > GROWS * min(rung.gap for rung in larger) and before.gap > 4 * before.noise
        if grew and now.gap < VANISHES * before.gap:
            self.jumps = max(self.jumps, before.gap)

    def _settle(self, rung: Rung) -> None:
        """Keeps the slope of the larger steps, with the rounding that was met since."""
        settled = self.settled or self.tableau.best
        assert settled is not None
        self.amplitude = max(self.amplitude, rung.gap * rung.step)
        met = rung.gap * rung.step / settled.step
        error = max(settled.error, met) if self.settled else settled.error + met
        self.settled = replace(settled, error=error, noise=max(settled.noise, met))
        self.suspect = False
        self._start_again(rung)

    def _start_again(self, rung: Rung) -> None:
        self.sides, self.tableau = rung.sides, _Tableau(self.cotangent, RATIO**2 if rung.sides == "both" else RATIO)

    def conclusion(self, unseen: float) -> Estimate:
        """The estimate after the last rung: a kink, the best entry of the tableau, or nothing known."""
        return replace(self._slope(unseen), beside_kink=_met_a_kink(self.rungs))

    def _slope(self, unseen: float) -> Estimate:
        """The same, without what larger steps met.

        Where `(1 - cos x) / x` rounds its numerator, it is smooth twice: over small steps, on which the numerator stays
        as it is, and over large ones, on which the rounding does not matter. Which of the two slopes is meant, the
        outputs do not say.
        """
        best, settled = self.tableau.best, self.settled
        if settled is None:
            unseen += self.jumps
            return _concluded(self.line, self.cotangent, self.rungs, best, self.wanted, unseen)
        apart = 0.0
        size = float(np.abs(self.cotangent).max()) * max(float(np.abs(self.line.here).max()), self.line.scale)
        plain_rounding = self.amplitude <= PLAIN * np.finfo(np.float64).eps * size
        if not plain_rounding and best is not None and best.error <= SETTLED * abs(best.value):
            apart = 2 * (abs(best.value - settled.value) + best.error)
        return replace(settled, error=settled.error + apart + unseen)


def _reached(line: Line, cotangent: np.ndarray, wanted: float, top: float) -> tuple[np.ndarray, float, float]:
    """Which outputs depend on where one is on the line, (m,) bool; what may hide in the others, which did not change by
    a bit: their noise over the largest step that was tried; and that step.

    An output that a step as large as the whole array leaves as it is does not depend on the element, if others do.
    """
    weighted = NOISE_MARGIN * np.abs(cotangent) * line.noise  # (m,)
    depends, reached = np.zeros(line.here.shape, dtype=bool), 0.0
    for step in (top, -top, 8 * line.scale, -8 * line.scale, line.limit, -line.limit):
        if abs(step) < reached:
            continue
        if abs(step) > reached > 0 and weighted[~depends].sum() <= wanted * reached:
            break
        gone, outputs = line.at(step)
        depends |= outputs != line.here  # NaN differs too: where the domain ends, the forward depends on the element
        reached = max(reached, abs(gone))
    if reached >= line.limit and depends.any():
        return depends, 0.0, reached
    return depends, float(weighted[~depends].sum()) / reached, reached


def _first_step(
    line: Line, cotangent: np.ndarray, wanted: float, top: float, depends: np.ndarray, share: float
) -> float:
    """Half the scale; more where the noise of the outputs that change asks for it: so much that the first few steps,
    which it takes to know anything, see the slope.
    """
    noise = NOISE_MARGIN * float((np.abs(cotangent) * line.noise)[depends].sum())
    needed = 4 * RATIO ** (ENOUGH_RUNGS - 1) * noise / wanted if wanted > 0 else 0.0
    return top if needed <= top else power_of_two(min(needed, line.limit)) * share


def _keeps_its_gap(rungs: list[Rung], wanted: float) -> bool:
    """Does the gap between the one-sided slopes stay, from the rung before to this one, although it can be seen?"""
    if len(rungs) < 2 or rungs[-1].sides != "both" or rungs[-2].sides != "both":
        return False
    now, before = rungs[-1].gap, rungs[-2].gap
    return now > HIDDEN * rungs[-1].noise and now > wanted and now > KEEPS * before


def _doubt(rungs: list[Rung]) -> float:
    """Half the gap between the one-sided slopes, where it does not fall as that of a smooth function would: a kink too
    small to be told from rounding may move the slope by so much.
    """
    if rungs[-1].sides != "both" or len(rungs) < 2 or rungs[-1].gap <= FALLS * rungs[-2].gap:
        return 0.0
    return 0.5 * rungs[-1].gap


def _hides(rung: Rung, larger: Rung) -> bool:
    """Would rounding hide, at this step, the gap that was there at the larger one?"""
    return larger.gap <= HIDDEN * rung.noise


def _concluded(
    line: Line, cotangent: np.ndarray, rungs: list[Rung], best: Estimate | None, wanted: float, unseen: float
) -> Estimate:
    """The estimate after the last rung: a kink, the best entry of the tableau, or nothing known."""
    last = next((rung for rung in reversed(rungs) if rung.sides != "none"), None)
    if last is None:
        return Estimate(0.0, np.inf, np.inf, rungs[-1].step, np.zeros_like(cotangent))
    if last.step <= line.scale / CLOSE and (best is None or best.error > wanted):
        at_kink = _vertical(rungs, cotangent) if last.sides != "both" else _kink(line, rungs, cotangent, wanted)
        if at_kink is not None:
            return at_kink
    if best is None:
        return _unknown(last, cotangent)
    unseen += _disagreement(best, cotangent, rungs)
    return replace(best, error=best.error + unseen, noise=best.noise + unseen, one_sided=last.sides != "both")


def _disagreement(best: Estimate, cotangent: np.ndarray, rungs: list[Rung]) -> float:
    """What a slope's error lacks, where some larger steps in a row agree on another one, without any gap: a rounding
    within keeps the forward on a plateau over small steps. (A kink beside the point has a gap.)
    """
    both = [rung for rung in rungs if rung.sides == "both" and rung.step > AWAY * best.step]
    lacks = 0.0
    for first in range(len(both) - IN_A_ROW + 1):
        row = both[first : first + IN_A_ROW]
        slopes = np.array([float(cotangent @ rung.central) for rung in row])
        middle = float(np.sort(slopes)[IN_A_ROW // 2])
        agree = np.abs(slopes - middle).max() <= 0.1 * abs(middle)
        if agree and max(rung.gap for rung in row) <= 0.1 * abs(middle):
            apart = abs(middle - best.value)
            lacks = max(lacks, 2 * apart if apart > 0.2 * abs(middle) else 0.0)
    return lacks


def _kink(line: Line, rungs: list[Rung], cotangent: np.ndarray, wanted: float) -> Estimate | None:
    """The kink that is left at the smallest steps at which it can be told from rounding."""
    seen = [rung for rung in rungs if rung.sides == "both" and rung.gap > HIDDEN * rung.noise and rung.gap > wanted]
    if len(seen) < ENOUGH_RUNGS or seen[-1].step > line.scale / CLOSE:
        return None
    after = next((rung for rung in rungs if rung.step < seen[-1].step), None)
    if after is not None and not _hides(after, seen[-1]):
        return None
    gaps = [rung.gap for rung in seen[-ENOUGH_RUNGS:]]
    if not _by_factors(gaps, KEEPS):
        return None
    if _by_factors(gaps, GROWS):
        return replace(_unknown(seen[-1], cotangent), jumps=True)
    return kink_of(seen, cotangent)


def _unknown(rung: Rung, cotangent: np.ndarray) -> Estimate:
    """The slope at one step, of which nothing is known."""
    return Estimate(float(cotangent @ rung.slopes), np.inf, rung.noise, rung.step, rung.slopes)


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


def _vertical(rungs: list[Rung], cotangent: np.ndarray) -> Estimate | None:
    """At an edge of the domain: a slope that grows without end, which no number is."""
    seen = [rung for rung in rungs if rung.sides == rungs[-1].sides][-ENOUGH_RUNGS - 1 :]
    slopes = [float(cotangent @ rung.slopes) for rung in seen]
    if len(seen) <= ENOUGH_RUNGS or not _by_factors(slopes, GROWS):
        return None
    return replace(_unknown(seen[-1], cotangent), one_sided=True, jumps=True)


def _met_a_kink(rungs: list[Rung]) -> bool:
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
