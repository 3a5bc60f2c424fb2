"""The slope of <c, F> along one line, with a bound on its error: differences at steps from large to small, and what
they say together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .differences import NOISE_MARGIN, Estimate, Line, Rung, nothing_known, rung_at
from .jumps import jumps_nearby
from .kinks import (
    CLOSE,
    FALLS,
    GROWS,
    HIDDEN,
    RATIO,
    VANISHES,
    doubt,
    hides,
    keeps_its_gap,
    left_at_small_steps,
    met_a_kink,
    under_the_curvature,
    vertical,
)  # fmt: skip
from .noise import IRREGULAR, power_of_two
from .tableau import ENOUGH_RUNGS, Tableau

__all__ = ["estimate_slope"]

MOST_RUNGS = 34
MANY_RUNGS = 20  # on one side only: a smaller step may reach both
CLOSELY = 1e-6  # the relative error that is enough where nobody knows what is wanted
PLAIN = 64  # units in the last place of outputs and inputs: what moves them no more is rounding and nothing else
IN_A_ROW, AWAY = 3, 16.0  # steps that agree on a slope, and how much larger they are than those that found another
SETTLED = 1e-5  # the relative error of a slope that is no chance agreement of two differences


def estimate_slope(line: Line, cotangent: np.ndarray, wanted: float, share: float = 1.0) -> Estimate:
    """The slope of <c, F> along a line, at steps from large to small, until its error is below `wanted` or rounding
    makes every further step worse.

    share: of the usual steps, for a second look at other ones
    """
    top = power_of_two(0.5 * line.scale) * IRREGULAR * share
    depends, unseen, reached = _reached(line, cotangent, wanted, top)
    if not depends.any():
        return Estimate(0.0, unseen, unseen, top, np.zeros_like(line.here), still=reached)
    ladder = _Ladder(line, cotangent, wanted)
    step, smallest = _first_step(line, cotangent, wanted, top, depends, share), line.smallest_step
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
    kept: float = 0.0  # a gap that stayed from step to step, as that of a kink does

    def __post_init__(self) -> None:
        self.tableau = Tableau(self.cotangent, RATIO**2)

    def add(self, rung: Rung) -> None:
        """One more rung, of a smaller step."""
        self.rungs.append(rung)
        if rung.sides == "none":
            return
        was_suspect, self.suspect = self.suspect, keeps_its_gap(self.rungs, self.wanted)
        self._look_for_jumps()
        if self._rounding_took_over():
            self._settle(rung)
        elif rung.sides != self.sides or self._beyond_a_kink():  # what larger steps saw lies beyond an edge or a kink
            self._start_again(rung)
        if was_suspect and hides(rung, self.rungs[-2]):
            self.done = True  # no smaller step could tell the kink from rounding
            return
        one_sided = rung.sides != "both"
        self.tableau.add(rung.slopes, rung.noise * (1 + one_sided), rung.step, doubt(self.rungs))
        best = self.tableau.best
        if best is not None and not self.suspect and not was_suspect:
            enough = self.tableau.rows >= (MANY_RUNGS if one_sided else ENOUGH_RUNGS)
            close = self.wanted or CLOSELY * abs(best.value)
            found = best.error <= close or rung.noise > HIDDEN * best.error
            self.done = enough and found and self._calm()

    def _beyond_a_kink(self) -> bool:
        """Does the gap stay, or did it until the last steps and is gone now? A step in between has a side with a little
        of the slope that lies beyond.
        """
        if self.suspect:
            self.kept = max(self.kept, self.rungs[-1].gap)
        elif self.rungs[-1].gap < VANISHES * self.kept:
            self.kept = 0.0
            return True
        return self.suspect

    def _calm(self) -> bool:
        """Does the gap fall as that of a smooth function would, or is it lost in rounding? One that does neither, small
        as it may be over a large step, is made by something that smaller steps will show.
        """
        now, before = self.rungs[-1], self.rungs[-2]
        falls = now.gap <= max(FALLS * before.gap, 8 * now.noise)
        return now.sides != "both" or (falls and not under_the_curvature(self.rungs))

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
        self.sides, self.tableau = rung.sides, Tableau(self.cotangent, RATIO**2 if rung.sides == "both" else RATIO)

    def conclusion(self, unseen: float) -> Estimate:
        """The estimate after the last rung: a kink, the best entry of the tableau, or nothing known."""
        return replace(self._slope(unseen), beside_kink=met_a_kink(self.rungs))

    def _slope(self, unseen: float) -> Estimate:
        """The same, without what larger steps met.

        Where `(1 - cos x) / x` rounds its numerator, it is smooth twice: over small steps, on which the numerator stays
        as it is, and over large ones, on which the rounding does not matter. Which of the two slopes is meant, the
        outputs do not say.
        """
        best, settled = self.tableau.best, self.settled
        if settled is None:
            unseen += self.jumps if self._jumps_stay(best) else 0.0
            return _concluded(self.line, self.cotangent, self.rungs, best, self.wanted, unseen)
        apart = 0.0
        size = float(np.abs(self.cotangent).max()) * max(float(np.abs(self.line.here).max()), self.line.scale)
        plain_rounding = self.amplitude <= PLAIN * np.finfo(np.float64).eps * size
        if not plain_rounding and best is not None and best.error <= SETTLED * abs(best.value):
            apart = 2 * (abs(best.value - settled.value) + best.error)
        return replace(settled, error=settled.error + apart + unseen)

    def _jumps_stay(self, best: Estimate | None) -> bool:
        """Are they jumps, as far as one can tell? Where the outputs stay as they are one can: log(max(x, a)) has its
        kink where it is steep, which looks like a jump from afar.
        """
        if not self.jumps or best is None or best.column.any():
            return self.jumps > 0
        return jumps_nearby(self.line, self.cotangent, best.step)


def _reached(line: Line, cotangent: np.ndarray, wanted: float, top: float) -> tuple[np.ndarray, float, float]:
    """Which outputs depend on where one is on the line, (m,) bool; what may hide in the others, which did not change by
    a bit: their noise over the largest step that was tried; and that step.

    An output that a step as large as the whole array leaves as it is does not depend on the element, if others do.
    """
    weighted = NOISE_MARGIN * np.abs(cotangent) * line.noise  # (m,)
    depends, reached = np.zeros(line.here.shape, dtype=bool), 0.0
    far, farthest = 8 * IRREGULAR * line.scale, max(IRREGULAR * line.limit, top)
    for step in (top, -top, far, -far, farthest, -farthest):
        if abs(step) < reached:
            continue
        if abs(step) > reached > 0 and weighted[~depends].sum() <= wanted * reached:
            break
        gone, outputs = line.at(step)
        depends |= outputs != line.here  # NaN differs too: where the domain ends, the forward depends on the element
        reached = max(reached, abs(gone))
    if reached >= farthest and depends.any():
        return depends, 0.0, reached
    return depends, float(weighted[~depends].sum()) / reached, reached


def _first_step(
    line: Line, cotangent: np.ndarray, wanted: float, top: float, depends: np.ndarray, share: float
) -> float:
    """Half the scale; more where the noise of the outputs that change asks for it: so much that the first few steps,
    which it takes to know anything, see the slope.
    """
    noise = line.rounding(cotangent, depends)
    needed = 4 * RATIO ** (ENOUGH_RUNGS - 1) * noise / wanted if wanted > 0 else 0.0
    return top if needed <= top else power_of_two(min(needed, line.limit)) * IRREGULAR * share


def _concluded(
    line: Line, cotangent: np.ndarray, rungs: list[Rung], best: Estimate | None, wanted: float, unseen: float
) -> Estimate:
    """The estimate after the last rung: a kink, the best entry of the tableau, or nothing known."""
    last = next((rung for rung in reversed(rungs) if rung.sides != "none"), None)
    if last is None:
        step = rungs[-1].step if rungs else line.scale  # none, where no step is as small as the element
        return Estimate(0.0, np.inf, np.inf, step, np.zeros_like(cotangent))
    if last.step <= line.scale / CLOSE and (best is None or best.error > wanted):
        at_kink = (
            vertical(rungs, cotangent) if last.sides != "both" else left_at_small_steps(line, rungs, cotangent, wanted)
        )
        if at_kink is not None:
            return at_kink
    if best is None:
        return nothing_known(last, cotangent)
    if not best.column.any():  # the largest step that moves nothing says more than smaller ones
        still = min((rung.noise for rung in rungs if rung.gap == 0 and not rung.central.any()), default=np.inf)
        best = replace(best, error=min(best.error, still), noise=min(best.noise, still))
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
