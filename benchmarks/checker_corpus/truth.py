"""The truth about a backward, by mpmath, and whether float64 outputs can tell it: without any checker.

Right: every entry is within the published tolerance of the exact gradient. Wrong: some entry is farther off than
1e-5 of itself plus 1e-9 of the largest entry: of those that reach the same outputs, where float64 outputs can tell so
much, otherwise of all; and by three times what the tolerance allows, since the sizes of entries change as much with the
cotangent. What lies between is neither. Where there are several outputs, each counts by itself, too.

Determined: a central difference at its best step, from float64 outputs, would tell. Its error at a step h is
h^2 |f'''| / 6 + h^4 |f'''''| / 120 from the curvature, and the sum of |c_k| sigma_k / h over the outputs k that depend
on the element, with sigma_k the output's rounding, measured against mpmath at inputs nearby and never taken for less
than half a unit in the last place: a float64 number stands for all that round to it. A right gradient is
determined if that error, at every entry, is at most a third of the tolerance and no more than what the gradient's own
error leaves of it; a wrong one if at some entry the tolerance is exceeded by three times that error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .exact import Slopes, as_floats, exact_outputs, number, slopes
from .problem import Arrays, Backward, Problem

LARGEST, RELATIVE, FLOOR = 1e-7, 1e-5, 1e-9  # the tolerance of float64 gradients, with what rounding may hide
JITTERS = (1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1)  # of the length: where rounding is measured
FARTHEST = 0.5  # of the length: the largest step
MARGIN = 3.0
TINY = 1e-300  # an output by itself may have no gradient
SMALL = 1e-6  # of the largest entry: below that an entry is small beside it

Verdict = Literal["right", "wrong", "neither"]


@dataclass(frozen=True)
class Judgement:
    """What a backward is.

    determined: whether float64 outputs can tell
    small:      wrong in entries only that are below a millionth of the largest
    error:      of the worst entry, over what the tolerance allows
    where:      that entry, in words
    """

    verdict: Verdict
    determined: bool
    small: bool
    error: float
    where: str


@dataclass
class _Entries:
    """The exact gradient of one input under one cotangent: an interval an entry (of one point where there is no kink),
    the error of the best difference, and which entry reaches which output (pairs of flat indices)."""

    lowest: np.ndarray
    highest: np.ndarray
    best: np.ndarray
    owners: np.ndarray
    outputs: np.ndarray

    @property
    def magnitude(self) -> np.ndarray:
        return np.maximum(np.abs(as_floats(self.lowest)), np.abs(as_floats(self.highest)))

    @property
    def beside(self) -> np.ndarray:
        """The largest magnitude among the entries that reach the same outputs, an entry an element."""
        magnitude = self.magnitude
        of_output = np.zeros(int(self.outputs.max(initial=0)) + 1)
        np.maximum.at(of_output, self.outputs, magnitude[self.owners])
        beside = magnitude.copy()
        np.maximum.at(beside, self.owners, of_output[self.outputs])
        return beside

    def error(self, gradient: np.ndarray) -> np.ndarray:
        """How far each entry lies outside its interval."""
        exact = number(gradient.ravel())
        return as_floats(np.maximum(np.maximum(self.lowest - exact, exact - self.highest), 0))


class Truth:
    """The exact derivatives of a problem and the rounding of its forward; judges any number of backwards."""

    def __init__(self, problem: Problem, rng: np.random.Generator):
        self.problem, self.shapes = problem, [out.shape for out in problem.outputs(*problem.arrays)]
        self.slopes = [slopes(problem, p, coupling) for p, coupling in enumerate(problem.couplings)]
        self.joint = [_along(problem, mask) for mask in problem.joint]
        self.rounding = _rounding(problem, rng)
        self.cotangents = [self._cotangent(rng, spread) for spread in (0.0, 0.0, 1.0)]
        if len(self.shapes) > 1:
            self.cotangents += [self._only(k) for k in range(len(self.shapes))]
        self._entries = [[self._all_entries(s, p, c) for p, s in enumerate(self.slopes)] for c in self.cotangents]
        self._jointly = [[self._all_entries(s, 0, c) for s in self.joint] for c in self.cotangents]

    @property
    def finite(self) -> bool:
        """Whether outputs and gradients are numbers, and no gradient is zero throughout."""
        sizes = [entries.magnitude for entries in self._entries[0]]
        return bool(np.isfinite(self.rounding).all() and all(np.isfinite(s).all() and s.max() > 0 for s in sizes))

    @property
    def gradient(self) -> list[np.ndarray]:
        """The magnitude of each entry, an array an input, under the first cotangent."""
        shapes = [array.shape for array in self.problem.arrays]
        return [e.magnitude.reshape(shape) for e, shape in zip(self._entries[0], shapes, strict=True)]

    def judge(self, backward: Backward) -> Judgement:
        """Right if it is right under each of the cotangents, wrong if it is wrong under one."""
        each = [self._judge(backward, k) for k in range(len(self.cotangents))]
        wrong = [j for j in each if j.verdict == "wrong"]
        if wrong:
            worst = max(wrong, key=lambda j: (j.determined, j.error))
            small = all(j.small for j in wrong)
            return Judgement("wrong", any(j.determined for j in wrong), small, worst.error, worst.where)
        worst = max(each, key=lambda j: j.error)
        verdict = "neither" if any(j.verdict == "neither" for j in each) else "right"
        return Judgement(verdict, all(j.determined for j in each), False, worst.error, worst.where)

    def _cotangent(self, rng: np.random.Generator, spread: float) -> Arrays:
        """Magnitudes from 0.5 to 1.5, or, with a spread, over so many powers of ten to either side; random signs."""
        sizes = (rng.uniform(0.5, 1.5, s) * 10 ** rng.uniform(-spread, spread, s) for s in self.shapes)
        return tuple(np.asarray(size * rng.choice((-1.0, 1.0), size.shape)) for size in sizes)

    def _only(self, number_: int) -> Arrays:
        """The first cotangents, zero but for one output."""
        return tuple(c if k == number_ else np.zeros_like(c) for k, c in enumerate(self.cotangents[0]))

    def _all_entries(self, found: Slopes, position: int, cotangents: Arrays) -> _Entries:
        problem, size = self.problem, self.problem.arrays[position].size
        c = np.concatenate([c.ravel() for c in cotangents])
        weights = number(c[found.output])
        middle, sides = weights * found.middle, (weights * found.left, weights * found.right)
        low = np.where(found.kink, np.minimum(*sides), middle)
        high = np.where(found.kink, np.maximum(*sides), middle)
        at_kink = np.zeros(size, dtype=bool)
        at_kink[found.owner[found.kink]] = True
        curvature = [np.abs(as_floats(_summed(weights * d, found.owner, size))) for d in (found.third, found.fifth)]
        bend = as_floats(_summed(abs(weights) * found.second, found.owner, size))
        moved = ((found.middle != 0) | (found.second != 0) | found.kink).astype(bool)
        pairs = np.unique(np.stack([found.owner[moved], found.output[moved]]), axis=1)
        noise = np.bincount(pairs[0], (np.abs(c) * self.rounding)[pairs[1]], minlength=size)
        lengths, values = problem.lengths[position].ravel(), problem.arrays[position].ravel()
        best = _best_error(lengths, values, noise, bend, *curvature, at_kink)
        seen = c[pairs[1]] != 0
        owners, outputs = pairs[0][seen], pairs[1][seen]
        return _Entries(_summed(low, found.owner, size), _summed(high, found.owner, size), best, owners, outputs)

    def _judge(self, backward: Backward, k: int) -> Judgement:
        with np.errstate(all="ignore"):
            gradients = self.problem.gradients(backward, self.cotangents[k])
        if not all(np.isfinite(g).all() for g in gradients):
            return Judgement("wrong", True, False, np.inf, "not finite")
        verdicts = []
        for position, (gradient, entries) in enumerate(zip(gradients, self._entries[k], strict=True)):
            scale = float(entries.magnitude.max())
            verdicts.append(_compare(entries, entries.error(gradient), scale, f"input {position}"))
        for number_, (mask, entries) in enumerate(zip(self.problem.joint, self._jointly[k], strict=True)):
            first = int(np.flatnonzero(mask)[0])
            error = np.zeros(mask.size)
            error[first] = entries.error(np.where(np.arange(mask.size) == first, gradients[0][mask].sum(), 0))[first]
            scale = float(self._entries[k][0].magnitude.max())
            verdicts.append(_compare(entries, error, scale, f"the sum of tie {number_}"))
        wrong = [v for v in verdicts if v.verdict == "wrong"]
        if wrong:
            worst = max(wrong, key=lambda v: (v.determined, v.error))
            return Judgement("wrong", worst.determined, all(v.small for v in wrong), worst.error, worst.where)
        worst = max(verdicts, key=lambda v: v.error)
        verdict = "neither" if any(v.verdict == "neither" for v in verdicts) else "right"
        return Judgement(verdict, all(v.determined for v in verdicts), False, worst.error, worst.where)


def _compare(entries: _Entries, error: np.ndarray, scale: float, name: str) -> Judgement:
    """One input's gradient against the exact one."""
    magnitude = entries.magnitude
    each = RELATIVE * magnitude + FLOOR * entries.beside
    each = np.where(MARGIN * entries.best <= each, each, RELATIVE * magnitude + FLOOR * scale)
    allowed = np.minimum(LARGEST * scale, each)
    wrong = error > np.maximum(each, MARGIN * allowed)
    worst = int(np.argmax(error / np.maximum(allowed, TINY)))
    where = f"{name}, entry {worst}"
    over = float(error[worst] / max(allowed[worst], TINY))
    if wrong.any():
        determined = bool((error - each > MARGIN * entries.best)[wrong].any())
        return Judgement("wrong", determined, bool((magnitude[wrong] < SMALL * scale).all()), over, where)
    determined = bool((MARGIN * entries.best <= np.minimum(allowed, MARGIN * (allowed - error))).all())
    return Judgement("right" if (error <= allowed).all() else "neither", determined, False, over, where)


def _summed(values: np.ndarray, owner: np.ndarray, size: int) -> np.ndarray:
    total = number(np.zeros(size))
    np.add.at(total, owner, values)
    return total


def _along(problem: Problem, mask: np.ndarray) -> Slopes:
    """The derivatives along a direction that moves the masked elements of the first input together."""
    first = int(np.flatnonzero(mask)[0])
    lengths = (np.full(mask.shape, problem.lengths[0][mask].min()), *problem.lengths[1:])
    together = replace(problem, lengths=lengths)
    return slopes(together, 0, lambda shape, terms: [(mask, np.full(sum(int(np.prod(t)) for t in terms), first))])


def _rounding(problem: Problem, rng: np.random.Generator) -> np.ndarray:
    """The largest difference between float64 and exact outputs near the inputs, an entry an output; at least half a
    unit in the last place."""
    largest = None
    for jitter in (0.0, *JITTERS):
        near = tuple(
            x + jitter * n * rng.uniform(-1, 1, x.shape) for x, n in zip(problem.arrays, problem.lengths, strict=True)
        )
        with np.errstate(all="ignore"):
            found = np.concatenate([out.ravel() for out in problem.outputs(*near)])
        if not np.isfinite(found).all():
            return np.full(found.shape, np.inf)
        error = np.maximum(
            np.abs(as_floats(number(found) - exact_outputs(problem, near))), np.spacing(np.abs(found)) / 2
        )
        largest = error if largest is None else np.maximum(largest, error)
    return largest


def _best_error(lengths, values, noise, bend, third, fifth, at_kink) -> np.ndarray:
    """The error of a central difference (at a kink: of one to a side) at the step where it is least, an entry an
    element. A step is at least four units in the last place of the element."""
    share = FARTHEST * 10.0 ** -np.linspace(0, 16, 129)[:, None]
    h = share * lengths  # (steps, n)
    central = h**2 * third / 6 + h**4 * fifth / 120 + noise / h
    one_sided = h * bend / 2 + 2 * noise / h
    error = np.where(at_kink, one_sided, central)
    error = np.where(h >= 4 * np.spacing(np.abs(values)), error, np.inf)
    return error.min(axis=0)
