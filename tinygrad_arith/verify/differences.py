"""Numerical derivatives in float64: central differences, Richardson extrapolation, kinks, random projections.

Everything here works on a `Probe`: an array that is perturbed in place, and a function without arguments that
evaluates the forward on whatever the array holds now. With F the outputs as one vector (m,) and c the cotangent (m,),
the questioned gradient is that of <c, F>. The difference of the outputs is taken before the product with c: outputs
that do not depend on the element cancel exactly, and their rounding never enters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

__all__ = [
    "COARSE_STEP", "FINE_STEP", "Kink", "Probe", "Refined", "central_difference", "find_kink", "projected_slope",
    "refine", "unmoved_outputs",
]  # fmt: skip

COARSE_STEP, FINE_STEP = 1e-4, 1e-11  # relative to the array: far above and far below what float32 resolves
JACOBIAN_LIMIT = 4_000_000  # numbers; larger Jacobians are not kept (they only serve the diagnosis)


@dataclass(frozen=True)
class Refined:
    """A derivative by Richardson extrapolation: its value, its estimated error, the step that gave it."""

    value: float
    error: float
    step: float


@dataclass(frozen=True)
class Kink:
    """A point without a derivative: the slopes to its left and right. `jump` says that the forward is not
    continuous.
    """

    index: tuple[int, ...]
    left: float
    right: float
    jump: bool = False


def _step(array: Any, index: tuple[int, ...], eps: float) -> float:
    """eps, or eps times the element where that is larger than 1."""
    return eps * max(1.0, abs(float(array[index])))


def _outputs_at(outputs: Callable[[], np.ndarray], array: Any, index: tuple[int, ...], value: float) -> np.ndarray:
    """The outputs with one element set to a value; the element is put back even if the forward raises."""
    original = float(array[index])
    try:
        array[index] = value
        return outputs()
    finally:
        array[index] = original


def central_difference(
    outputs: Callable[[], np.ndarray], array: Any, index: tuple[int, ...], step: float
) -> np.ndarray:
    """(F(x + h) - F(x - h)) / 2h for one element x: a column of the Jacobian, (m,). Error h^2 F'''/6 + rounding/h."""
    upper, lower = float(array[index]) + step, float(array[index]) - step
    difference = _outputs_at(outputs, array, index, upper) - _outputs_at(outputs, array, index, lower)  # (m,)
    return difference / (upper - lower)  # (m,)


def refine(
    outputs: Callable[[], np.ndarray], array: Any, index: tuple[int, ...], cotangent: np.ndarray, eps: float
) -> Refined:
    """The derivative by one element with a step chosen by Ridders' rule.

    Central differences at steps 1000 eps, 250 eps, ... each a quarter of the one before; Richardson extrapolation
    over them removes the h^2, h^4, ... terms; the entry of the tableau that differs least from its neighbours wins
    (C. Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", Advances in Engineering Software 4, 1982).
    """
    step, best = 1000 * _step(array, index, eps), Refined(np.nan, np.inf, eps)
    previous: list[float] = []  # the tableau's row for the step before
    for _ in range(12):
        with np.errstate(all="ignore"):  # the large steps may leave the forward's domain; NaN never wins
            row = [float(cotangent @ central_difference(outputs, array, index, step))]
        for level, coarser in enumerate(previous, start=1):
            row.append(row[-1] + (row[-1] - coarser) / (16.0**level - 1.0))  # 16 = (ratio of steps)^2
        for level in range(len(previous)):
            error = max(abs(row[level + 1] - row[level]), abs(row[level + 1] - previous[level]))
            if error < best.error:
                best = Refined(row[level + 1], error, step)
        previous, step = row, step / 4
    return best


def find_kink(
    outputs: Callable[[], np.ndarray], array: Any, index: tuple[int, ...], cotangent: np.ndarray, eps: float
) -> Kink | None:
    """The kink (ReLU at 0, a tie of a maximum) at one element, or None where the forward is smooth there.

    The one-sided slopes of a smooth function differ by h F'': a hundredth of the step gives a hundredth of the gap.
    At a kink the gap stays; at a jump it grows.
    """
    here, value, step = outputs(), float(array[index]), _step(array, index, eps)
    gaps, slopes = [], (0.0, 0.0)
    for h in (step, step / 100):
        right = (_outputs_at(outputs, array, index, value + h) - here) / h  # (m,)
        left = (here - _outputs_at(outputs, array, index, value - h)) / h  # (m,)
        gaps.append(float(np.abs(cotangent * (right - left)).sum()))
        slopes = float(cotangent @ left), float(cotangent @ right)
    noise = 1e3 * np.finfo(np.float64).eps * float(np.abs(cotangent * here).max(initial=0.0)) / (step / 100)
    if gaps[1] <= max(noise, 1e-6 * max(map(abs, slopes))) or gaps[1] < 0.5 * gaps[0]:
        return None
    return Kink(index, *slopes, jump=gaps[1] > 10 * gaps[0])


def unmoved_outputs(outputs: Callable[[], np.ndarray], array: Any) -> tuple[int, int]:
    """How many outputs answer in steps, of how many that were asked: those that a step of 1e-4 of the whole array moves
    so far that one of 1e-11 should be seen in float64. The first number counts those that the small step leaves as
    they are, to the last bit: something between array and output is float32, or rounds.
    """
    original, here = array.copy(), outputs()
    signs = np.random.default_rng(0).choice((-1.0, 1.0), tuple(array.shape))
    move, moves = original * _beside(signs, array), []
    try:
        for step in (COARSE_STEP, FINE_STEP):
            array[...] = original + step * move
            with np.errstate(all="ignore"):  # a step may leave the forward's domain; NaN counts nowhere
                moves.append(np.abs(outputs() - here))  # (m,)
    finally:
        array[...] = original
    resolution = 100 * np.finfo(np.float64).eps * np.abs(here)
    asked = moves[0] * (FINE_STEP / COARSE_STEP) > resolution
    return int((asked & (moves[1] == 0)).sum()), int(asked.sum())


def projected_slope(
    outputs: Callable[[], np.ndarray], array: Any, direction: np.ndarray, cotangent: np.ndarray, eps: float
) -> float:
    """d/dt <c, F(x + t u)> at t = 0 along a direction u of the array's shape, with one step of Richardson's rule."""
    original, slopes, move = array.copy(), [], _beside(direction, array)
    try:
        for h in (10 * eps, 5 * eps):
            array[...] = original + h * move
            plus = outputs()
            array[...] = original - h * move
            slopes.append(float(cotangent @ (plus - outputs())) / (2 * h))
    finally:
        array[...] = original
    return (4 * slopes[1] - slopes[0]) / 3


def _beside(numbers: np.ndarray, array: Any) -> Any:
    """Float64 numbers where the array of the same shape is: as they are, or on its device (CuPy)."""
    if isinstance(array, np.ndarray):
        return numbers
    moved = array.copy()
    moved.set(numbers)
    return moved


@dataclass
class Probe:
    """One array whose gradient is questioned, with the forward around it.

    `array` is writable float64 (NumPy, or CuPy by its item assignment); `outputs()` returns the float64 outputs as a
    fresh vector (m,); `cotangent` is (m,). Results are kept, so that many backwards can be judged by one probe.
    """

    name: str
    array: Any
    outputs: Callable[[], np.ndarray]
    cotangent: np.ndarray
    eps: float
    _refined: dict[tuple[int, ...], Refined] = field(default_factory=dict)
    _kinks: dict[tuple[int, ...], Kink | None] = field(default_factory=dict)
    _elements: dict[tuple[int, ...], float] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the questioned array."""
        return tuple(self.array.shape)

    @cached_property
    def jacobian(self) -> np.ndarray | None:
        """dF/dx by central differences, (m, n), n the elements of the array; None where it would be too large."""
        count = int(np.prod(self.shape))
        if count * self.cotangent.size > JACOBIAN_LIMIT:
            return None
        columns = np.empty((self.cotangent.size, count))  # (m, n)
        for position, index in enumerate(np.ndindex(self.shape)):
            columns[:, position] = central_difference(
                self.outputs, self.array, index, _step(self.array, index, self.eps)
            )
        return columns

    @cached_property
    def gradient(self) -> np.ndarray:
        """The gradient of <c, F> by full element-wise central differences, of the array's shape."""
        if self.jacobian is not None:
            return (self.cotangent @ self.jacobian).reshape(self.shape)
        return np.array([self.element(index) for index in np.ndindex(self.shape)]).reshape(self.shape)

    @cached_property
    def noise(self) -> float:
        """The size below which a central difference cannot be told from rounding."""
        terms = np.abs(self.cotangent * self.outputs())  # (m,)
        outside = np.sqrt(terms.size) * terms.max(initial=0.0)
        # outputs that cancel to almost nothing still carry the rounding of what went in
        inside = np.abs(self.cotangent).max(initial=0.0) * (
            min(1.0, float(abs(self.array).max())) if self.array.size else 0.0
        )
        return 50 * np.finfo(np.float64).eps * float(max(outside, inside)) / self.eps

    @cached_property
    def stepwise(self) -> tuple[int, int] | None:
        """How many outputs answer in steps, of how many (see `unmoved_outputs`); None if that is less than half."""
        stuck, asked = unmoved_outputs(self.outputs, self.array)
        return (stuck, asked) if asked and 2 * stuck > asked else None

    def element(self, index: tuple[int, ...]) -> float:
        """The gradient at one element by a central difference at the probe's step."""
        if index not in self._elements:
            step = _step(self.array, index, self.eps)
            column = central_difference(self.outputs, self.array, index, step)
            self._elements[index] = float(self.cotangent @ column)
        return self._elements[index]

    def refined(self, index: tuple[int, ...]) -> Refined:
        """The gradient at one element by Richardson extrapolation (see `refine`)."""
        if index not in self._refined:
            self._refined[index] = refine(self.outputs, self.array, index, self.cotangent, self.eps)
        return self._refined[index]

    def kink(self, index: tuple[int, ...]) -> Kink | None:
        """The kink at one element, if there is one (see `find_kink`)."""
        if index not in self._kinks:
            self._kinks[index] = find_kink(self.outputs, self.array, index, self.cotangent, self.eps)
        return self._kinks[index]

    def projection(self, direction: np.ndarray) -> float:
        """The slope along a direction of the array's shape (see `projected_slope`)."""
        return projected_slope(self.outputs, self.array, direction, self.cotangent, self.eps)
