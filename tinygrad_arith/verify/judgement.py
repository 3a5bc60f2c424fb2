"""The verdict on each element of one gradient.

With a the backward's answer, d what the differences say and e the bound on d's error: *wrong* if |a - d| - e exceeds
what the tolerance allows, *passed* if |a - d| + e does not, *undecided* between. A first look takes one small step to
each side; whatever does not pass by it is looked at closely before it is called anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from .all_at_once import contradicted_all_at_once
from .differences import Estimate, Kink
from .lost import LOST, Answers, wrong_at_large_entries
from .noise import IRREGULAR, median, powers_of_two
from .probe import Probe
from .survey import ONE_STEP, TOGETHER, Survey
from .ties import wrong_along_ties
from .tolerances import Tolerance

__all__ = ["SMALLER", "Bounds", "Judgement", "first_survey", "judge"]

SMALLER = 8  # times than the first of several steps: one step by itself
MANY = 4  # more elements than these are looked at all together, before each by itself
NEARLY_STRAIGHT = 2.0**-8  # steps over an element's size, over which most functions are
WIDEST = 1 / 8  # first step of that look, over an element's size
FIRST_LOOK = 1  # elements that do not pass are examined closely, before all the others are
HOPELESS = 24  # elements in a row, of which most stay undecided: the others are left as they are
CLOSELY = 1e-6  # the relative error that is asked for at most: smaller steps would show rounding rather than the slope
BESIDE = 1e-4  # of the largest entry that reaches the same outputs: no more is hidden by anything but rounding
RICH = 1e-3  # the relative error of a slope that is known well
NEAR = 64.0  # times the steps that such slopes needed
SIMILAR = 1 / 8  # of the size of an element: those that are as large tell which steps suit it
ASKED_CLOSER = 3  # elements whose slopes are looked at closer by, for all that were looked at together
STALE = 2.0  # times what is allowed an element now: by more, an examination says too little
FAR_OFF = 16.0  # times the error of a slope: an answer so far from it is not brought nearer by a fit
ROUNDS = 3  # of examination: the largest entry, by which all are measured, may turn out to be another


class Bounds(NamedTuple):
    """What the tolerance allows each element, all (n,): beyond `strict` it is wrong; below `allowed`, rounding
    included, it is right. `sizes` are those of the entries by which both are measured, `scales` the largest ones among
    those that reach the same outputs.
    """

    strict: np.ndarray
    allowed: np.ndarray
    sizes: np.ndarray
    scales: np.ndarray


@dataclass
class Judgement:
    """The working state while single elements are judged, one number an element (n,): the differences and the bounds on
    their errors become closer, elements turn out to be kinks.
    """

    probe: Probe
    indices: Sequence[tuple[int, ...]]
    analytic: np.ndarray
    numeric: np.ndarray
    error: np.ndarray
    suspicious: np.ndarray
    columns: np.ndarray | None
    tolerance: Tolerance
    shares_outputs: bool  # each element is measured by the entries that reach the same outputs, not by all
    truncation: np.ndarray  # the part of the errors that is no rounding
    sizes: np.ndarray  # of the elements of the array
    steps: np.ndarray  # at which the differences were taken, where no closer look has said
    unsteady: np.ndarray | None = None
    answers: Answers | None = None  # the backward at other values, where it can be asked
    ask_lost: Callable[[], np.ndarray] | None = None  # what the backward loses of its answers (`cancellation.py`)
    lost: np.ndarray | None = None  # the same, once somebody asked
    together: set[int] = field(default_factory=set)  # those that several steps at once have shown
    examined: dict[int, Estimate] = field(default_factory=dict)
    strict_then: dict[int, float] = field(default_factory=dict)  # what was allowed them when they were examined
    kinks: dict[int, Kink] = field(default_factory=dict)
    outside: dict[int, Kink] = field(default_factory=dict)  # those whose answers no choice of sides gives
    two_scales: bool = False  # all answers are contradicted over far smaller steps
    first_look_misled: bool = False  # a closer look at an element contradicted it
    wrong_elsewhere: set[int] = field(default_factory=set)  # off by little here, wrong at large entries

    @property
    def unit(self) -> float:
        """The largest cotangent: the unit of gradients that vanish."""
        return float(np.abs(self.probe.cotangent).max(initial=0.0))

    @property
    def at_kinks(self) -> list[int]:
        """The elements at kinks, whether their answers are right or wrong."""
        return [*self.kinks, *self.outside]

    @property
    def distance(self) -> np.ndarray:
        """|a - d|; 0 at kinks whose slopes enclose the answer, infinite at those where they do not."""
        distance = np.abs(self.analytic - self.numeric)
        if self.at_kinks:
            distance[list(self.kinks)] = 0.0
            distance[list(self.outside)] = np.inf
        return distance

    @property
    def uncertainty(self) -> np.ndarray:
        """The bound on the error of the differences; none at kinks, whose slopes have it in them."""
        error = self.error.copy() if self.unsteady is None else self.error + self.unsteady
        if self.at_kinks:
            error[self.at_kinks] = 0.0
        return error

    def vanishes(self) -> bool:
        """Is the gradient zero everywhere, up to a rounding that is far smaller than what cancels in it?"""
        if not self.numeric.size or self.kinks:
            return False
        rounding = 8 * float(np.abs(self.probe.cotangent) @ np.minimum(self.probe.noise, 1e300))
        with np.errstate(all="ignore"):
            vanishing = np.abs(self.numeric) <= np.maximum(4 * self.error, rounding / self.sizes)
        if not vanishing.all():
            return False
        uncancelled, hides = 0.0, median(self.error)
        if self.columns is not None:
            slopes = np.nan_to_num(np.abs(self.columns), nan=0.0, posinf=0.0)
            uncancelled = float((np.abs(self.probe.cotangent) @ slopes).max())
        allowed = max(self.tolerance.floor, self.tolerance.hidden) * uncancelled
        return hides <= max(allowed, self.tolerance.zero * self.unit)

    def _sizes(self) -> np.ndarray:
        """The size of each entry (n,), or what it is at least where its error is large."""
        size = np.abs(self.numeric)
        with np.errstate(all="ignore"):
            return np.where(self.error <= 0.1 * size, size, np.maximum(size - self.error, 0.0))

    def scales(self, sizes: np.ndarray) -> np.ndarray:
        """What each element is measured by (n,): the largest size (n,) among those that reach the same outputs."""
        largest = float(sizes.max(initial=0.0))
        if not self.shares_outputs or self.columns is None:
            return np.full(self.numeric.shape, largest)
        moved = self.columns != 0  # (m, n)
        of_outputs = np.where(moved, sizes, 0.0).max(axis=1, initial=0.0)  # (m,)
        shared = np.where(moved, of_outputs[:, None], 0.0).max(axis=0, initial=0.0)  # (n,)
        return np.where(moved.any(axis=0), shared, largest)

    def bounds(self) -> Bounds:
        """What the tolerance allows each element, as far as the gradient is known."""
        sizes = self._sizes()
        scales = self.scales(sizes)
        if self.vanishes():
            zero = np.full(self.numeric.shape, self.tolerance.zero * self.unit)
            return Bounds(zero, zero, sizes, scales)
        largest = float(sizes.max(initial=0.0))
        strict = self.tolerance.bound_beside(sizes, largest, scales)
        return Bounds(strict, self.tolerance.hidden_beside(sizes, largest), sizes, scales)

    def verdicts(self, bounds: Bounds | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Per element: is it wrong, is it undecided?

        Over steps larger than an element itself 1 / x is flat, and an error that such steps see says nothing about what
        it is at x. An answer that agrees is right; one that does not is only wrong if steps of the element's own size
        would see so, too. What is off by less than float64 loses beside the largest entry is only wrong if it is so
        elsewhere, too (`lost.py`); what is off by no more than the backward itself loses is undecided.
        """
        strict, allowed, sizes, scales = bounds or self.bounds()
        distance, error = self.distance, self.uncertainty
        with np.errstate(all="ignore"):
            beyond = distance - error * np.maximum(1.0, self._distances() / self.sizes)
            off = beyond > strict
            if off.any():
                off &= beyond > self._strict_if_others_are_large(sizes)
            hidden = self.tolerance.hidden_beside(0 * sizes, float(sizes.max(initial=0.0)))  # of the largest entry
            hidden = np.where(scales > hidden, np.minimum(hidden, BESIDE * scales), hidden)
            seen = distance + self.truncation <= 2 * np.maximum(strict, CLOSELY * sizes + hidden)
            hidden_by_rounding = np.maximum(distance, self.truncation) <= error - self.truncation
            seen |= hidden_by_rounding  # nothing else may hide more than is allowed
            if self.at_kinks:
                seen[self.at_kinks] = True
            passed = ~off & (distance + error <= allowed) & seen
            wrong = off & (beyond > LOST * sizes.max(initial=0.0))
            wrong[list(self.wrong_elsewhere)] = True
        looked_at = self._examined_ones(strict)
        if (wrong & looked_at).any():
            with np.errstate(all="ignore"):
                wrong &= beyond - self.lost_digits() > strict
        if wrong.any():
            certain = (wrong & looked_at).any()  # nothing is called wrong by a first look alone
            wrong &= (looked_at | ~self.suspicious) if certain else looked_at
        return wrong, ~wrong & ~passed

    def lost_digits(self) -> np.ndarray:
        """How far each answer may be off since the backward itself loses digits (n,). It is asked when first needed."""
        if self.lost is None:
            self.lost = np.zeros(self.numeric.shape) if self.ask_lost is None else self.ask_lost()
        return self.lost

    def _strict_if_others_are_large(self, sizes: np.ndarray) -> np.ndarray:
        """What would be allowed each element (n,) if those that are not known were as large as the backward says."""
        size = np.abs(self.numeric)
        with np.errstate(all="ignore"):
            at_most = np.maximum(size, np.minimum(np.abs(self.analytic), size + self.error))  # (n,)
            likely = np.where(self.error <= 0.1 * size, size, at_most)  # (n,)
        return self.tolerance.bound_beside(sizes, float(likely.max(initial=0.0)), self.scales(likely))

    def _distances(self) -> np.ndarray:
        """How far from each element the differences looked (n,)."""
        distances = self.steps.copy()
        for position, found in self.examined.items():
            distances[position] = max(found.step, found.still)
        return distances

    def not_passed(self) -> list[int]:
        """Elements that do not pass, or only since rounding may hide an error, and were not examined; the farthest off
        first.
        """
        bounds, distance = self.bounds(), self.distance
        left = ~((distance <= bounds.strict) & ~self.verdicts(bounds)[1] & ~self.suspicious)
        left &= ~self._examined_ones(bounds.strict)
        if not left.any():
            return []
        with np.errstate(all="ignore"):
            excess = np.nan_to_num(distance / (bounds.strict + self.uncertainty))
        return [int(i) for i in np.argsort(-excess) if left[i]]

    def hidden_ones(self, open_ones: Sequence[int]) -> list[int]:
        """Those of some elements that rounding hides too much of over one small step; none if others are seen to be
        wrong.
        """
        if not open_ones:
            return []
        strict, error = self.bounds().strict, self.error
        hidden = [position for position in open_ones if error[position] > strict[position]]
        return [] if (self.distance - self.uncertainty > strict).any() else hidden

    def look_together(self, positions: Sequence[int], share: float) -> None:
        """Differences at several steps, all in one look: kept where they know more than the first one, and do not
        contradict it, unless that one misled already. `share` is the first step over an element's size, or more where
        the noise demands it.
        """
        steps = self._steps_against_noise(positions, share)
        found = self.probe.survey([self.indices[position] for position in positions], TOGETHER, steps)
        known, before = self.numeric[positions], self.error[positions]
        with np.errstate(all="ignore"):
            agree = np.abs(found.value - known) <= found.error + before
        better = np.flatnonzero((agree | self.first_look_misled) & ~found.suspicious & (found.error < before)).tolist()
        if self._contradicted(found, steps, [(row, positions[row]) for row in better[:ASKED_CLOSER]]):
            return
        for row in better:
            position = positions[row]
            self.truncation[position] = max(found.error[row] - found.rounding[row], 0.0)
            self.together.add(position)
            self.numeric[position], self.error[position] = found.value[row], found.error[row]
            self.steps[position], self.suspicious[position] = steps[row], False
            if self.columns is not None and found.columns is not None:
                self.columns[:, position] = found.columns[:, row]

    def _contradicted(self, found: Survey, steps: np.ndarray, asked: Sequence[tuple[int, int]]) -> bool:
        """Are the slopes of one of these elements, by row of the survey and position, others closer by?"""
        bounds = self.bounds()
        allowed = np.maximum(bounds.allowed, self.tolerance.largest * float(bounds.sizes.max()))
        for row, position in asked:
            column = np.zeros_like(self.probe.cotangent)
            estimate = Estimate(found.value[row], found.error[row], found.rounding[row], steps[row], column)
            if self.probe.contradicted(self.indices[position], estimate, allowed[position]):
                return True
        return False

    def _steps_against_noise(self, positions: Sequence[int], share: float) -> np.ndarray:
        size = np.abs(self.analytic)  # of the slopes, as long as these are not known
        largest = float(size.max(initial=0.0))
        asked = np.maximum(self.bounds().strict, self.tolerance.bound_beside(size, largest, largest))  # (n,)
        noise = 4 * float(np.abs(self.probe.cotangent) @ self.probe.noise)
        with np.errstate(all="ignore"):
            against_noise = np.minimum(4 * noise / asked[positions], self.probe.limit)
            steps = np.maximum(share * self.sizes[positions], against_noise)
        return IRREGULAR * powers_of_two(steps)

    def suitable_share(self) -> float:
        """A few times the smallest step, over its element's size, that a closer look needed to know its slope well."""
        known = [p for p, e in self.examined.items() if e.kink is None and e.error <= RICH * abs(e.value)]
        return min([WIDEST, *(4 * self.steps[p] / self.sizes[p] for p in known)])

    def examine(self, positions: Sequence[int]) -> None:
        """A closer look at some elements: is it a kink, and what do steps of all sizes say?"""
        bounds = self.bounds()
        for position in positions:
            strict, allowed, size, _ = (float(of_all[position]) for of_all in bounds)
            little = max(allowed, self.tolerance.largest * float(bounds.sizes.max()))
            found = self._closely(position, strict, little, size)
            known, error = self.numeric[position], self.error[position]
            if found.kink is None and position not in self.together:
                self.first_look_misled |= abs(found.value - known) > found.error + error
            new = self.suspicious[position] or not self._knew_more(position, found, allowed)
            self.examined[position], self.suspicious[position] = found, False
            self.strict_then[position] = strict
            if new:
                self.numeric[position], self.error[position], self.steps[position] = (
                    found.value,
                    found.error,
                    found.step,
                )
                self.truncation[position] = max(found.error - found.noise, 0.0) if np.isfinite(found.error) else np.inf
                if self.columns is not None:
                    self.columns[:, position] = found.column
            if found.kink is not None:
                choice = self.kinks if found.least <= self.analytic[position] <= found.most else self.outside
                choice[position] = replace(found.kink, index=self.indices[position])

    def _closely(self, position: int, strict: float, little: float, size: float) -> Estimate:
        """The slope at one element by steps of all sizes, with doubts on both sides: an answer that it contradicts may
        be right, and one that it fits may be wrong. By less than `little` two slopes do not differ.
        """
        probe, index, answer = self.probe, self.indices[position], self.analytic[position]
        wanted = max(strict / 4, CLOSELY * size)
        slack = strict + (0.0 if self.unsteady is None else float(self.unsteady[position]))
        apart = abs(answer - self.numeric[position])
        enough = apart / FAR_OFF if apart > FAR_OFF * self.error[position] else 0.0  # to see that they differ
        found = probe.refined(index, wanted, enough)
        if _accuses(found, answer, slack):
            found = probe.confirmed(index, wanted, enough)
            if _accuses(found, answer, slack):
                found = probe.beside(index, found, answer)
            if _accuses(found, answer, slack):
                return self._unless_doubtful(index, found, answer)
        if found.kink is None and np.isfinite(found.error) and probe.contradicted(index, found, little):
            return replace(found, error=np.inf)
        return found

    def _unless_doubtful(self, index: tuple[int, ...], found: Estimate, answer: float) -> Estimate:
        """An estimate that contradicts an answer, after what may still speak for the answer: the slopes at points
        nearby, if it is a kink, and the smallest steps of all.
        """
        unknown = replace(found, kink=None, error=np.inf)
        if found.kink is not None:
            enclosed = self.probe.enclosed_nearby(index, answer)
            if enclosed:
                return replace(found, least=min(found.least, answer), most=max(found.most, answer))
            if enclosed is None:
                return unknown
        apart = abs(answer - found.value) if found.kink is None else max(found.least - answer, answer - found.most)
        return unknown if self.probe.given_closest(index, found, answer, apart) else found

    def _knew_more(self, position: int, found: Estimate, allowed: float) -> bool:
        """Did a look at several elements together know this one better, say the same, and acquit the answer?"""
        value, error = self.numeric[position], self.error[position]
        better = position in self.together and found.kink is None and error < found.error < np.inf
        same = abs(found.value - value) <= found.error + error
        return bool(better and same and abs(self.analytic[position] - value) + error <= allowed)

    def distrust_far_steps(self) -> None:
        """Raises the errors of slopes that were taken over far larger steps than others needed, of elements of this
        size or more.

        Where most elements that are known well are so at steps far below their size only (times of 1.7e9 that differ by
        seconds), the forward bends over larger ones. A slope that rounding hides there is not to be had from larger
        steps, over which the forward is another one.
        """
        sizes = self.sizes
        smooth = np.ones(sizes.shape, dtype=bool)
        smooth[self.at_kinks] = False
        known = smooth & (self.error <= RICH * np.abs(self.numeric))
        if not known[list(self.examined)].any():
            return  # nothing needed a closer look and was known by it
        tells = self._examined_ones()
        tells[[position for position, found in self.examined.items() if found.beside_kink]] = False
        needed = np.where(tells, self.steps / sizes, WIDEST)  # (n,); a first look, or a kink nearby, says no more
        for position in np.flatnonzero(smooth & ~known):
            beside = np.sort(needed[known & (sizes >= SIMILAR * sizes[position])])
            if not len(beside):
                continue
            trusted = NEAR * float(beside[len(beside) // 2]) * sizes[position]
            found = self.examined.get(int(position))
            noise = self.error[position] if found is None else found.noise
            self.error[position] = max(self.error[position], noise * self.steps[position] / trusted)

    def _examined_ones(self, strict: np.ndarray | None = None) -> np.ndarray:
        """Which elements were examined, (n,) bool; of those, where it is given, by what is allowed them now (n,), or a
        little more. It may have been far more, if the largest entry turned out to be another.
        """
        examined = np.zeros(self.numeric.shape, dtype=bool)
        examined[list(self.examined)] = True
        if strict is not None:
            examined[[p for p, then in self.strict_then.items() if then > STALE * strict[p]]] = False
        return examined

    def ask_elsewhere(self) -> None:
        """Answers that are off by less than float64 loses beside the largest entry: are they where theirs are large?"""
        if self.answers is None or not self.numeric.size or self.vanishes():
            return
        bounds, distance = self.bounds(), self.distance
        largest = int(np.argmax(bounds.sizes))
        off = (distance - self.uncertainty > bounds.strict) & (distance <= 2 * LOST * bounds.sizes[largest])
        lost = np.flatnonzero(off).tolist()
        if lost:
            asked = [self.indices[position] for position in lost]
            beside, size = self.indices[largest], float(bounds.sizes[largest])
            wrong = wrong_at_large_entries(self.probe, asked, beside, size, self.answers, self.tolerance)
            self.wrong_elsewhere |= {position for position, is_wrong in zip(lost, wrong, strict=True) if is_wrong}

    def ask_all_at_once(self) -> None:
        """Where all answers pass: are they contradicted over far smaller steps? Then nothing is known of any."""
        if self.numeric.size < self.probe.values.size or self.vanishes():
            return
        bounds = self.bounds()
        wrong, undecided = self.verdicts(bounds)
        if wrong.any() or undecided.any():
            return
        answers = self.analytic.copy()
        answers[self.at_kinks] = np.nan
        slack, steps = bounds.strict + self.uncertainty, np.minimum(self._distances(), self.sizes)
        self.two_scales = contradicted_all_at_once(self.probe, answers, slack, steps)
        if self.two_scales:
            self.error[:] = np.inf

    def ask_along_ties(self) -> None:
        """Answers at kinks that are right one by one must add up to the slope where the kinks move together.

        Those that the smallest steps of all give lie at no kink, whatever larger ones saw: they are left undecided.
        """
        flat = {int(np.ravel_multi_index(self.indices[p], self.probe.shape)): p for p in self.kinks}
        answers = {place: float(self.analytic[position]) for place, position in flat.items()}
        for place in wrong_along_ties(self.probe, answers):
            position, answer = flat[place], answers[place]
            kink = self.kinks.pop(position)
            if self.probe.given_closest(kink.index, self.examined[position], answer, abs(kink.right - kink.left)):
                self.error[position] = np.inf
            else:
                self.outside[position] = kink


def judge(judged: Judgement, count_all: bool = True) -> None:
    """Examines what does not pass: first a few elements, then, unless these were all wrong, the others.

    count_all: look at the others after a proof of wrongness, too, to say how many are wrong
    """
    open_ones = judged.not_passed()
    hidden = judged.hidden_ones(open_ones)
    if hidden:
        judged.look_together(hidden, NEARLY_STRAIGHT)
        open_ones = judged.not_passed()
    for _ in range(ROUNDS):
        if not open_ones:
            break
        judged.examine(open_ones[:FIRST_LOOK])
        judged.distrust_far_steps()
        wrong, undecided = judged.verdicts()
        if wrong[open_ones[:FIRST_LOOK]].all():
            if count_all:
                _count_the_others(judged, undecided)
            break
        if len(open_ones) > FIRST_LOOK + MANY:
            judged.look_together(open_ones[FIRST_LOOK:], judged.suitable_share())
        open_ones = judged.not_passed()
        hopeless = _examine_in_blocks(judged, open_ones)
        judged.distrust_far_steps()
        open_ones = [] if hopeless else judged.not_passed()
    if len(judged.kinks) > 1:
        judged.ask_along_ties()
    judged.ask_elsewhere()
    judged.ask_all_at_once()


def _examine_in_blocks(judged: Judgement, open_ones: Sequence[int]) -> bool:
    """Examines some elements until most of a block stay undecided; whether that was so."""
    for first in range(0, len(open_ones), HOPELESS):
        block = open_ones[first : first + HOPELESS]
        judged.examine(block)
        if len(block) == HOPELESS and judged.verdicts()[1][block].mean() > 0.5:
            return True
    return False


def _count_the_others(judged: Judgement, undecided: np.ndarray) -> None:
    """One element is wrong: a look at those that are undecided yet (n,), so that the report can say how many are."""
    left = [int(p) for p in np.flatnonzero(undecided) if p not in judged.examined]
    if len(left) > MANY:
        judged.look_together(left, judged.suitable_share())
    else:
        judged.examine(left)


def first_survey(probe: Probe, indices: Sequence[tuple[int, ...]] | None = None) -> Survey:
    """One small step to each side of these elements, or of all."""
    return probe.survey(indices, ONE_STEP, probe.steps(indices) / SMALLER)


def _accuses(found: Estimate, answer: float, allowed: float) -> bool:
    """Does a first close look say that an answer is wrong?"""
    if found.kink is not None:
        return not found.least <= answer <= found.most
    return abs(answer - found.value) - found.error > allowed
