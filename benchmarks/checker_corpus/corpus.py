"""The cases of a seed: problems over all functions, scales and offsets, each with a right and a wrong backward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from . import faults
from .elementwise import FORMULAS, elementwise
from .exact import precision
from .fast import FAST
from .kinks import KINKS
from .operations import OPERATIONS
from .problem import Backward, Problem, plus_inside, plus_outside, sized
from .rows import ROWS, by_rows
from .several import SEVERAL
from .truth import Judgement, Truth

Maker = Callable[[np.random.Generator], Problem]
OUTSIDE, INSIDE = 0.2, 0.07  # how often a constant is added to the outputs, or within the function
TRIES = 5  # at a fault that is beyond the tolerance
DECADES = (-9, -6, -3, -1, 1, 3, 6, 9)  # where one stratum of scales ends


@dataclass(frozen=True)
class Case:
    """A backward at given inputs, and what is known of it.

    expected: "right", "wrong", or "within": changed, but by less than the tolerance allows (to be counted apart)
    fault:    what is wrong with it
    strata:   what the tables group by
    """

    seed: int
    number: int
    problem: Problem
    backward: Backward
    expected: str
    fault: str
    truth: Judgement
    strata: dict[str, str]

    @property
    def name(self) -> str:
        """Enough to find it again."""
        return f"seed {self.seed} case {self.number} {self.problem.name}: {self.fault or 'right'}"


@dataclass
class Corpus:
    """`count` right and as many wrong cases of one seed; `left_out` counts draws that are neither, by the reason."""

    seed: int
    count: int
    left_out: Counter = field(default_factory=Counter)

    def __iter__(self) -> Iterator[Case]:
        """The cases in the order of their numbers, a problem's right one before its wrong one."""
        self.left_out.clear()
        right = wrong = number = 0
        while right < self.count or wrong < self.count:
            for case in self.cases(number):
                right += case.expected == "right"
                wrong += case.expected == "wrong"
                wanted = {"right": right, "wrong": wrong, "within": 0}[case.expected] <= self.count
                if wanted:
                    yield case
            number += 1

    def cases(self, number: int) -> list[Case]:
        """Those of one draw: none, if its right backward loses too many digits; one of each kind as a rule."""
        rng = np.random.default_rng([self.seed, number])
        with np.errstate(all="ignore"), precision():
            problem = draw_problem(rng, self.seed, number)
            truth = Truth(problem, rng)
            if not truth.finite:
                self.left_out["not finite, or zero throughout"] += 1
                return []
            judged = truth.judge(problem.backward)
            if judged.verdict != "right":
                self.left_out["the right formula loses its digits"] += 1
                return []
            strata = strata_of(problem)
            found = [Case(self.seed, number, problem, problem.backward, "right", "", judged, strata)]
            return found + self._wrong(number, problem, truth, rng, strata)

    def _wrong(self, number, problem, truth, rng, strata) -> list[Case]:
        """A wrong backward, after those that were within the tolerance, if it took more than one try."""
        found = []
        for _ in range(TRIES):
            kind, words, backward = faults.draw(problem, rng, truth.gradient)
            judged = truth.judge(backward)
            kind = "small beside large" if judged.small else kind
            more = strata | {"wrongness": kind}
            expected = "wrong" if judged.verdict == "wrong" else "within"
            found.append(Case(self.seed, number, problem, backward, expected, words, judged, more))
            if expected == "wrong":
                return found
        self.left_out["no fault beyond the tolerance"] += 1
        return found


def makers() -> dict[str, Maker]:
    """Every function of the corpus by its name."""
    return {
        **{f"{name} of elements": _bound(elementwise, name) for name in FORMULAS},
        **{f"{name} of rows": _bound(by_rows, name) for name in ROWS},
        **OPERATIONS,
        **SEVERAL,
        **KINKS,
        **FAST,
        **{f"{name}, {k}": maker for k in (2, 3, 4) for name, maker in KINKS.items()},  # more often: each kind is many
        "cross_entropy_sum, 2": OPERATIONS["cross_entropy_sum"],
    }


def _bound(maker: Callable, name: str) -> Maker:
    return lambda rng: maker(name, rng)


def draw_problem(rng: np.random.Generator, seed: int, number: int) -> Problem:
    """Each function once in a round, in an order of the round's own; sometimes with an offset."""
    known = makers()
    names = np.random.default_rng([seed, number // len(known), 0]).permutation(list(known))
    problem = known[names[number % len(known)]](rng)
    if problem.placed == "none" and problem.kind not in ("near an edge", "beside a kink", "beside a tie"):
        where = rng.random()
        if where < OUTSIDE:
            return plus_outside(problem, 10 ** rng.uniform(0, 8))
        if where < OUTSIDE + INSIDE:
            return plus_inside(problem, 10 ** rng.uniform(0, 8))
    return problem


def strata_of(problem: Problem) -> dict[str, str]:
    scale = sized(problem) - (problem.offset if problem.placed == "of the input" else 0.0)
    kind = "mixed scales in an array" if problem.mixed and problem.kind == "element-wise" else problem.kind
    return {"scale": _decades(scale), "offset": _offset(problem), "kind": kind, "function": problem.name}


def _decades(exponent: float) -> str:
    edges = [end for end in DECADES if end <= exponent]
    above = [end for end in DECADES if end > exponent]
    if not edges:
        return f"below 1e{above[0]}"
    return f"1e{edges[-1]} to 1e{above[0]}" if above else f"above 1e{edges[-1]}"


def _offset(problem: Problem) -> str:
    if problem.placed == "none":
        return "none"
    size = "to 1e4" if problem.offset < 4 else "1e4 to 1e8"
    return f"{problem.placed}, {size}"
