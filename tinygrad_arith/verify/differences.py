"""Differences of the outputs along one line, at one step: slopes to both sides, and what rounding does to them.

F are the outputs as one vector (m,), c is the cotangent (m,). The difference of the outputs is taken before the product
with c: outputs that do not depend on the element cancel exactly, and their rounding never enters.

Two errors limit a difference at step h. Truncation falls with h, by h^2 F'''/6; rounding grows, by noise/h. Neither
is guessed from the value found: the noise is measured (see noise.py) and enters every bound, so a difference of two
outputs that rounding made equal is 0 give or take noise/h, and no exact zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .noise import own_rounding

__all__ = ["NOISE_MARGIN", "Estimate", "Kink", "Line", "Rung", "nothing_known", "rung_at"]

NOISE_MARGIN = 1.25  # on the noise of every difference

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

    @property
    def smallest_step(self) -> float:
        """The smallest step that moves the point by more than a few units in its last place."""
        return 64 * float(np.spacing(self.scale))

    def rounding(self, cotangent: np.ndarray, which: np.ndarray) -> float:
        """The bound on the rounding of <c, F>, of the outputs (m,) bool that count."""
        return NOISE_MARGIN * float((np.abs(cotangent) * self.noise)[which].sum())


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
    """The differences along a line at one step; `depends` (m,) bool are the outputs whose rounding counts. What NumPy
    says of a step out of the domain, the caller ignores.
    """
    (ahead, plus), (behind, minus) = line.at(step), line.at(-step)
    weights = np.abs(cotangent)
    right = (plus - line.here) / ahead  # (m,)
    left = (minus - line.here) / behind  # (m,)
    central = (plus - minus) / (ahead - behind)  # (m,)
    gap = float(weights @ np.abs(right - left))
    bound = NOISE_MARGIN * float((weights * _noise_at(line, plus, minus))[depends].sum()) / step
    return Rung(step, left, right, central, bound, gap, "both" if math.isfinite(gap) else _sides(plus, minus))


def _sides(plus: np.ndarray, minus: np.ndarray) -> Sides:
    """On which sides all outputs are finite."""
    with_left, with_right = bool(np.isfinite(minus).all()), bool(np.isfinite(plus).all())
    return "both" if with_left and with_right else "right" if with_right else "left" if with_left else "none"


def _noise_at(line: Line, plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
    """The noise of the outputs (m,): more than at the point where they are larger, and none of those that are exact."""
    own = own_rounding(np.fmax(np.abs(plus), np.abs(minus)))  # (m,), NaN where there is no output
    return np.where(line.noise > 0, np.fmax(line.noise, own), 0.0)


def nothing_known(rung: Rung, cotangent: np.ndarray) -> Estimate:
    """The slope at one step, of which nothing is known."""
    return Estimate(float(cotangent @ rung.slopes), np.inf, rung.noise, rung.step, rung.slopes)
