"""One array whose gradient is questioned, with the forward around it: slopes by each element and along directions.

A forward is asked at steps that follow each element's own size. Where it has no value (NaN, infinite, a ValueError of
`math.log`), the step has left its domain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np

from .closer import closer_by, contradicted_closer_by, given_by_the_smallest_steps, slopes_nearby_enclose
from .cotangents import array_like
from .differences import NOISE_MARGIN, Estimate, Line
from .fit import fitted_slope
from .jumps import jumps_nearby
from .kinks import HIDDEN
from .ladder import estimate_slope
from .noise import IRREGULAR, exact_outputs, median, noise_at, power_of_two, powers_of_two, roughness
from .survey import TWO_STEPS, Look, Survey, survey

__all__ = ["COARSE_STEP", "FINE_STEP", "Probe", "unmoved_outputs"]

COARSE_STEP, SINGLE_STEP = 1e-4, 2e-7  # of the array: far above what float32 resolves, and just above
SMALL_STEP, FINE_STEP = 1e-9, 1e-11  # below, and far below
JACOBIAN_LIMIT = 4_000_000  # numbers; larger Jacobians are not kept (they only serve the diagnosis)
FITS = 1e-3  # the relative error of a fit that says something
WORTH = 0.5  # times the error known: what a fit may leave of it, if it is to be tried
FAR = 256  # the scale over a step that is so small that the forward may look another way from farther off
KEPT = 4  # points with their outputs
CONFIRMING = 23 / 32  # of the usual steps: those of the second look, before an accusation


@dataclass
class Probe:
    """One array whose gradient is questioned, with the forward around it.

    `array` is writable float64 (NumPy, or CuPy by its item assignment); `outputs()` returns the float64 outputs as a
    fresh vector (m,); `cotangent` is (m,). `eps` is the first step, relative to each element. Results are kept, so that
    many backwards can be judged by one probe. A step may leave the domain of the forward: whoever asks a probe ignores
    what NumPy says of it (np.errstate, once for all questions).
    """

    name: str
    array: Any
    outputs: Callable[[], np.ndarray]
    cotangent: np.ndarray
    eps: float
    _estimates: dict[tuple[int, ...], Estimate] = field(default_factory=dict)
    _confirmed: dict[tuple[int, ...], Estimate] = field(default_factory=dict)
    _fits: dict[tuple[tuple[int, ...], bool], Estimate] = field(default_factory=dict)
    _surveys: dict[tuple[Any, Look, bytes], Survey] = field(default_factory=dict)
    _seen: dict[bytes, np.ndarray] = field(default_factory=dict)
    _last_line: tuple[tuple[int, ...], Line] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the questioned array."""
        return tuple(self.array.shape)

    @cached_property
    def values(self) -> np.ndarray:
        """The array as it is questioned, in NumPy."""
        return np.array(self.array if isinstance(self.array, np.ndarray) else self.array.get(), dtype=np.float64)

    @cached_property
    def here(self) -> np.ndarray:
        """The outputs (m,). An exception of the forward passes through here, and only here."""
        return self.outputs()

    @cached_property
    def noise(self) -> np.ndarray:
        """The likely error of each output (m,) (see `roughness`)."""
        here = self.here
        return roughness(self.outputs_at, self.values, here)

    @cached_property
    def exact(self) -> np.ndarray:
        """Which outputs are not rounded at all (m,) bool (see `exact_outputs`)."""
        return exact_outputs(self.outputs_at, self.values)

    @cached_property
    def typical(self) -> float:
        """The size of a typical element: the step's scale for elements that are 0."""
        sizes = np.abs(self.values[np.isfinite(self.values) & (self.values != 0)])
        return median(sizes) if sizes.size else 1.0

    @cached_property
    def limit(self) -> float:
        """The largest step that makes sense: as large as the array, and at least 1."""
        finite = np.abs(self.values[np.isfinite(self.values)])
        return power_of_two(max(1.0, float(finite.max(initial=0.0))))

    @cached_property
    def indices(self) -> list[tuple[int, ...]]:
        """The elements that have a derivative: an infinite one (of an additive mask) has none."""
        return list(map(tuple, np.argwhere(np.isfinite(self.values)).tolist()))

    @cached_property
    def _steps(self) -> tuple[int, int, int]:
        return unmoved_outputs(self._outputs_or_nan, self.array)

    @property
    def stepwise(self) -> tuple[int, int] | None:
        """How many outputs answer in steps, of how many (see `unmoved_outputs`); None if that is less than half."""
        stuck, asked, _ = self._steps
        return (stuck, asked) if asked and 2 * stuck > asked else None

    @property
    def like_float32(self) -> bool:
        """Do most outputs answer in steps of about the size of float32's?"""
        _, asked, single = self._steps
        return 2 * single > asked > 0

    @property
    def keeps_columns(self) -> bool:
        """Are the slopes of all outputs kept?"""
        return self.values.size * self.cotangent.size <= JACOBIAN_LIMIT

    @cached_property
    def jacobian(self) -> np.ndarray | None:
        """dF/dx, (m, n), n the elements of the array; None where it would be too large. Elements without a derivative
        have columns of zeros.
        """
        if not self.keeps_columns:
            return None
        columns = np.zeros((self.cotangent.size, self.values.size))  # (m, n)
        surveyed = self.survey().columns
        assert surveyed is not None
        for position, index in enumerate(self.indices):
            estimate = self._fits.get((index, False), self._estimates.get(index))
            column = surveyed[:, position] if estimate is None else estimate.column
            column = np.where(np.isfinite(column), column, 0.0)  # a step out of the domain: no comparison with NaN
            columns[:, np.ravel_multi_index(index, self.shape)] = column
        return columns

    @cached_property
    def gradient(self) -> np.ndarray:
        """The gradient of <c, F>, of the array's shape: by two steps, and closer where these do not agree."""
        survey, gradient = self.survey(), np.zeros(self.shape)
        largest = float(np.nanmax(np.abs(survey.value), initial=0.0))
        for position, index in enumerate(self.indices):
            wanted = 1e-8 * abs(survey.value[position]) + 1e-12 * largest
            good = survey.error[position] <= 16 * wanted and not survey.suspicious[position]
            gradient[index] = survey.value[position] if good else self.refined(index, wanted).value
        return gradient

    def under(self, cotangent: np.ndarray) -> Probe:
        """The same under another cotangent (m,), of which nothing is known yet but how far the outputs are rounded."""
        other = replace(self, cotangent=cotangent, _estimates={}, _confirmed={}, _fits={}, _surveys={}, _last_line=None)
        other.__dict__.update(here=self.here, noise=self.noise)
        return other

    def survey(
        self, indices: Sequence[tuple[int, ...]] | None = None, look: Look = TWO_STEPS, steps: np.ndarray | None = None
    ) -> Survey:
        """A look at these elements, or at all, with these first steps (n,), or the usual ones."""
        chosen = self.indices if indices is None else indices
        if steps is None:
            steps = self.steps(indices)
        key = None if indices is None else tuple(indices), look, steps.tobytes()
        if key not in self._surveys:
            self._surveys[key] = survey(
                self.at, self.here, NOISE_MARGIN * self.noise, self.cotangent, chosen, steps, look, self.keeps_columns
            )
        return self._surveys[key]

    def refined(self, index: tuple[int, ...], wanted: float, enough: float = 0.0) -> Estimate:
        """The gradient at one element as closely as rounding allows, or until its error is below `wanted`; without the
        fit, which costs the most, where it is below `enough`.
        """
        found = self._estimates.get(index)
        if found is None or (found.error > wanted and found.noise < 0.5 * found.error):
            found = estimate_slope(self._line(index), self.cotangent, wanted)
            if found.error > wanted and found.noise > 0.5 * found.error and self.exact.any():
                line = replace(self._line(index), noise=np.where(self.exact, 0.0, self.noise))
                found = estimate_slope(line, self.cotangent, wanted)
            if found.kink is None and not np.isfinite(found.error):  # lost among the large steps that noise asked for?
                found = estimate_slope(self._line(index), self.cotangent, 0.0)
            self._estimates[index] = found
            self._fits.pop((index, False), None)
        if found.error <= max(wanted, enough) or found.kink is not None:
            return found
        return self._fitted(index, found, second=False)

    def _fitted(self, index: tuple[int, ...], found: Estimate, second: bool) -> Estimate:
        """A fit through many differences, if it knows more than the best of single ones and does not contradict it.
        Kept for the first and the second look at each element.
        """
        if (index, second) not in self._fits:
            self._fits[index, second] = self._beside_a_fit(index, found)
        return self._fits[index, second]

    def _beside_a_fit(self, index: tuple[int, ...], found: Estimate) -> Estimate:
        with np.errstate(all="ignore"):
            fit = fitted_slope(self._line(index), self.cotangent, WORTH * found.error)
        if fit is None or fit.error > FITS * abs(fit.value):
            return found  # over such a distance the forward is no polynomial
        apart = abs(fit.value - found.value)
        if apart > fit.error + found.error:
            return replace(found, error=2 * (apart + found.error + fit.error))
        return fit if fit.error < found.error else found

    def confirmed(self, index: tuple[int, ...], wanted: float, enough: float = 0.0) -> Estimate:
        """The same with other steps, and with an error that covers what the two looks differ by."""
        if index not in self._confirmed:
            line = self._line(index)
            first = self.refined(index, wanted, enough)
            again = estimate_slope(line, self.cotangent, wanted, CONFIRMING)
            found = self._with_noise_there(line, _both(first, again))
            if found.kink is None and not found.column.any() and jumps_nearby(line, self.cotangent, found.step):
                found = replace(found, error=np.inf, jumps=True)
            self._confirmed[index] = found
        found = self._confirmed[index]
        smooth = found.kink is None and found.step < self.sizes[index] / FAR  # larger steps show more than a fit does
        return self._fitted(index, found, second=True) if smooth and not found.jumps and found.error > enough else found

    def _with_noise_there(self, line: Line, found: Estimate) -> Estimate:
        """An estimate with the noise that its smallest step really met."""
        with np.errstate(all="ignore"):
            met = NOISE_MARGIN * noise_at(line.at, found.step, self.cotangent) / found.step
        if met <= found.noise:
            return found
        if found.kink is None:
            return replace(found, error=found.error + 2 * met, noise=2 * met)
        if abs(found.kink.right - found.kink.left) < HIDDEN * met:
            return replace(found, kink=None, error=np.inf, noise=np.inf)
        return replace(found, least=found.least - 4 * met, most=found.most + 4 * met)

    def beside(self, index: tuple[int, ...], found: Estimate, answer: float) -> Estimate:
        """An estimate that contradicts an answer, after a look closer by for what may speak for the answer."""
        if found.kink is not None or not np.isfinite(found.error):
            return found
        return closer_by(self._line(index), self.cotangent, found, answer)

    def enclosed_nearby(self, index: tuple[int, ...], answer: float) -> bool | None:
        """Does an answer at a kink lie between the slopes at points nearby? None if rounding hides it."""
        noise = np.where(self.exact, 0.0, self.noise)
        return slopes_nearby_enclose(self.outputs_at, self.values, index, self.cotangent, self.sizes, noise, answer)

    def given_closest(self, index: tuple[int, ...], found: Estimate, answer: float, apart: float) -> bool:
        """Do the smallest steps of all give an answer that is so far from what an estimate says?"""
        return given_by_the_smallest_steps(self._line(index), self.cotangent, found.column != 0, answer, apart)

    def contradicted(self, index: tuple[int, ...], found: Estimate, allowed: float) -> bool:
        """Is the slope another one closer by, by more than is allowed?"""
        return contradicted_closer_by(self._line(index), self.cotangent, found, allowed)

    def slope(self, index: tuple[int, ...], cotangent: np.ndarray, wanted: float) -> Estimate:
        """The same as `refined` under another cotangent (m,); not kept."""
        return estimate_slope(self._line(index), cotangent, wanted)

    def along(self, direction: np.ndarray, wanted: float) -> Estimate:
        """The slope along a direction of the array's shape: d/dt <c, F(x + t u)> at t = 0."""
        return estimate_slope(self._line_along(direction), self.cotangent, wanted)

    def beside_along(self, direction: np.ndarray, found: Estimate, answer: float) -> Estimate:
        """The same as `beside`, along a direction."""
        closer = closer_by(self._line_along(direction), self.cotangent, found, answer)
        return found if closer.kink is not None else closer  # a kink of what, is to be found out first

    def _line_along(self, direction: np.ndarray) -> Line:
        moving = np.abs(direction[direction != 0])
        sizes = self.sizes[direction != 0]
        scale = float(np.min(sizes / moving)) if moving.size else 1.0
        farthest = max(scale, self.limit / moving.max(initial=1.0))
        return Line(self._towards(direction), self.here, self.noise + self._moved_by_rounding, scale, farthest)

    @cached_property
    def _moved_by_rounding(self) -> np.ndarray:
        """How far the outputs (m,) move if all elements are rounded otherwise, as they are at a point of a line."""
        towards = np.random.default_rng(3).choice((-np.inf, np.inf), self.shape)
        moved = self.outputs_at(np.where(np.isfinite(self.values), np.nextafter(self.values, towards), self.values))
        return np.where(np.isfinite(moved), np.abs(moved - self.here), 0.0)

    @cached_property
    def sizes(self) -> np.ndarray:
        """The size of each element, which its step follows, of the array's shape; a typical one's where it is 0."""
        return np.where(self.values != 0, np.abs(self.values), self.typical)

    def sizes_of(self, indices: Sequence[tuple[int, ...]] | None) -> np.ndarray:
        """The sizes of these elements, or of all that have a derivative (n,)."""
        if indices is None:
            return self.sizes[np.isfinite(self.values)]
        return np.array([self.sizes[index] for index in indices])

    def steps(self, indices: Sequence[tuple[int, ...]] | None) -> np.ndarray:
        """The first steps at these elements, or at all (n,)."""
        return IRREGULAR * powers_of_two(self.eps * self.sizes_of(indices))

    def at(self, index: tuple[int, ...], step: float) -> tuple[float, np.ndarray]:
        """The step that was really taken at one element, and the outputs there (m,)."""
        original = float(self.values[index])
        try:
            self.array[index] = original + step
            outputs = self._outputs_or_nan()
        finally:
            self.array[index] = original
        return (original + step) - original, outputs

    def _line(self, index: tuple[int, ...]) -> Line:
        """The line through one element, kept until another is asked for: one look after the other takes points of it,
        which are often the same.
        """
        if self._last_line is None or self._last_line[0] != index:
            at = cache(partial(self.at, index))
            self._last_line = index, Line(at, self.here, self.noise, float(self.sizes[index]), self.limit)
        return self._last_line[1]

    def _towards(self, direction: np.ndarray) -> Callable[[float], tuple[float, np.ndarray]]:
        return lambda t: (t, self.outputs_at(self.values + t * direction))

    def outputs_at(self, numbers: np.ndarray) -> np.ndarray:
        """The outputs (m,) at other values of the array, of its shape."""
        try:
            self.array[...] = array_like(numbers, self.array)
            return self._outputs_or_nan()
        finally:
            self.array[...] = array_like(self.values, self.array)

    def seen_at(self, numbers: np.ndarray) -> np.ndarray:
        """The same, of the last few points kept: all backwards that are judged are mostly asked about at the same."""
        key = numbers.tobytes()
        if key not in self._seen:
            if len(self._seen) == KEPT:
                del self._seen[next(iter(self._seen))]
            self._seen[key] = self.outputs_at(numbers)
        return self._seen[key]

    def _outputs_or_nan(self) -> np.ndarray:
        """The outputs at the array as it is now; NaN where the forward refuses it."""
        try:
            outputs = self.outputs()
        except Exception:  # of whatever kind: the forward takes the array itself, but not this one beside it
            return np.full(self.cotangent.shape, np.nan)
        return outputs if outputs.shape == self.cotangent.shape else np.full(self.cotangent.shape, np.nan)


def _both(first: Estimate, second: Estimate) -> Estimate:
    """The closer of two looks, with an error that covers what they differ by; a kink only where both saw one."""
    closer, other = (first, second) if first.error <= second.error else (second, first)
    if first.kink is not None and second.kink is not None:
        return first
    if first.kink is not None or second.kink is not None:
        return first if first.kink is None else second
    apart = abs(first.value - second.value)
    if apart <= 2 * closer.error:
        return closer
    if apart <= closer.error + other.error:  # the other look is less sure, which may have its reason
        return replace(closer, error=2 * (apart + closer.error))
    return replace(closer, error=2 * (apart + closer.error + other.error))


def unmoved_outputs(outputs: Callable[[], np.ndarray], array: Any) -> tuple[int, int, int]:
    """How many outputs answer in steps, of how many that were asked: those that a step of 1e-4 of the whole array moves
    so far that one of 1e-11 should be seen in float64. The first number counts those that the small step leaves as
    they are, to the last bit, if most of them also stay under a step of 1e-9: something between array and output is
    float32, or rounds. The third counts those of them
    that move at a step which float32 resolves.
    """
    original, here = array.copy(), outputs()
    signs = np.random.default_rng(0).choice((-1.0, 1.0), tuple(array.shape))
    finite = np.isfinite(original)
    move, moves = np.where(finite, original, 0.0) * array_like(signs, array), []
    try:
        for step in (COARSE_STEP, SINGLE_STEP, SMALL_STEP, FINE_STEP):
            array[...] = original + step * move
            with np.errstate(all="ignore"):  # a step may leave the forward's domain; NaN counts nowhere
                moves.append(np.abs(outputs() - here))  # (m,)
    finally:
        array[...] = original
    coarse, single, small, fine = moves
    resolution = 100 * np.finfo(np.float64).eps * np.abs(here)
    asked = coarse * (FINE_STEP / COARSE_STEP) > resolution
    stuck = asked & (fine == 0)
    if 2 * int((stuck & (small == 0)).sum()) <= int(asked.sum()):
        return 0, int(asked.sum()), 0
    return int(stuck.sum()), int(asked.sum()), int((stuck & (single > 0)).sum())
