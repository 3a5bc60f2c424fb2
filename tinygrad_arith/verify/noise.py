"""How far rounding moves the outputs of a forward: what no difference can see through.

The rounding of an output itself is known: half a unit in its last place. What happens inside is not: `(x + 1e8) - 1e8`
is exact to 1e-16 by the look of its outputs and rounds at 1e-8. So the noise is measured, as the roughness of the
outputs along a short line: what is left of them when polynomials of low degree are taken away. (The idea is that of
J. Moré and S. Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33, 2011, who take differences of values at
equal distances. There the roundings of a linear function may all be equal, one time in eight.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np

__all__ = [
    "IRREGULAR",
    "exact_outputs",
    "median",
    "noise_at",
    "own_rounding",
    "power_of_two",
    "powers_of_two",
    "roughness",
]

POINTS = 8  # on a line
DEGREES = (2, 3, 4)  # of the polynomials that a smooth function is, so near to a point
SPACINGS = (2.0**-42, 2.0**-12, 2.0**-32, 2.0**-22)  # of the points, relative to each element
DISTINCT = 4  # values that an output takes on a line, at least, if the line is to tell how rough it is
FAR = 2.0
DISTANCES = (0.0, 0.25, 1.0, FAR, -FAR, -1.0)  # at which outputs are looked at, relative to each element, until they
# move; to the other side too: far enough to one side, tanh is constant everywhere
BITS = 44  # of a float64 that the places of the points may use
MOVES = (47, 61, 73, 79, 103)  # of 64 parts, by which elements move: the last bits are used, by all of them. What
# divides by a small number, or multiplies with one, rounds otherwise at each point
LAST_BITS, FINEST_UNIT = 4, 2.0**-10  # so many places between two points of the finest line; and the last bit of a
# number over that line's spacing, in which it is bent by 0, 1, 3, 6, 10, ...: such points still are hit exactly
HARMLESS = 16  # times the rounding of the output itself: such noise is not looked into
SMOOTHER = 1 / 16  # of the roughness of a line: what is left of it where that was made by a kink
EXACT = 0.01  # times its own rounding: an output that is no rougher was not rounded
NEARBY = 0.125  # of a step, around whose end the noise is asked for
ON_THE_SPOT = 1e-6  # of the length of a line: so closely a point must be hit, or its place is taken as it is
LIKELY = 2.0  # the largest error of one evaluation over the standard deviation


def own_rounding(outputs: np.ndarray) -> np.ndarray:
    """The largest rounding error of each output by itself: half a unit in the last place, (m,)."""
    return 0.5 * np.spacing(np.abs(outputs))


IRREGULAR = 741455 * 2.0**-20  # about the root of 1/2, in few bits: steps of which no simple period is a multiple


def power_of_two(size: float) -> float:
    """The power of two at or below a positive size: a step that changes a floating-point number exactly."""
    return math.ldexp(0.5, math.frexp(size)[1]) if 0 < size < np.inf else 1.0


def powers_of_two(sizes: np.ndarray) -> np.ndarray:
    """The same for each of an array."""
    return np.where((sizes > 0) & np.isfinite(sizes), np.ldexp(0.5, np.frexp(sizes)[1]), 1.0)


def median(numbers: np.ndarray) -> float:
    """The median of numbers (n,), n > 0. (For few numbers NumPy's own costs as much as several differences.)"""
    ordered = np.sort(numbers)
    return 0.5 * float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2])


def roughness(outputs_at: Callable[[np.ndarray], np.ndarray], array: np.ndarray, here: np.ndarray) -> np.ndarray:
    """The likely error of each output, (m,): its own rounding, or more where it is rough along lines through `array`.

    An output that does not move near `array` is looked at farther off: there a relu that was off is on, and a sum that
    rounding kept where it was shows how coarse that rounding is.

    outputs_at: the outputs (m,) at another array of the same shape; not finite where the forward has none
    here:       the outputs at `array`
    """
    noise, known, sizes = own_rounding(here), np.zeros(here.shape, dtype=bool), _sizes(array)  # (m,), (m,)
    for distance in DISTANCES:
        if known.all():
            break
        seen, told = _noise_around(outputs_at, _displaced(array, sizes, distance), here)
        few = ~known & ~told & np.isfinite(seen)  # an output that takes two or three values is nothing but rounding
        noise, known = np.where(~known & told, seen, np.where(few, np.maximum(noise, seen), noise)), known | told
    return noise


def _noise_around(
    outputs_at: Callable[[np.ndarray], np.ndarray], base: np.ndarray, here: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The error (m,) of outputs of the size of `here`, by how rough they are around another array; and of which this is
    known, (m,) bool.

    The finest line on which an output takes enough values tells: a wider one may meet kinks, or leave the region in
    which the forward is what it is here. What does not move on the widest line does not move on the others.
    """
    (finest, widest, *between), sizes = SPACINGS, _sizes(base)  # its own: where it lies near 0 it moves less
    noise, known, size = _along_a_line(outputs_at, base, sizes, finest)
    wide, moves, wide_size = (noise, known, size) if known.all() else _along_a_line(outputs_at, base, sizes, widest)
    size = np.fmax(size, wide_size)
    for spacing in between:
        if (known | ~moves).all():
            break
        seen, told, _ = _along_a_line(outputs_at, base, sizes, spacing)
        noise, known = np.where(told & ~known, seen, noise), known | told
    noise, known = np.where(known, noise, wide), known | moves
    return np.where(known, _of_this_size(noise, size, here), noise), known


def _of_this_size(noise: np.ndarray, size: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Noise that is no more than an output's own rounding grows and shrinks with the output (m,)."""
    own, own_here = own_rounding(size), own_rounding(here)  # (m,)
    mere = np.clip(noise, own_here, HARMLESS * own_here)  # (m,)
    return np.where(noise <= HARMLESS * own, mere, np.maximum(noise, own_here))


def exact_outputs(outputs_at: Callable[[np.ndarray], np.ndarray], array: np.ndarray) -> np.ndarray:
    """Which outputs move along lines without any roughness, (m,) bool: a maximum, a relu, a copy round nothing."""
    exact, sizes = np.ones(outputs_at(array).shape, dtype=bool), _sizes(array)
    for spacing in SPACINGS:
        noise, moves, size = _along_a_line(outputs_at, array, sizes, spacing)
        exact &= moves & (noise <= EXACT * own_rounding(size))
        if not exact.any():
            break
    return exact


def _displaced(array: np.ndarray, sizes: np.ndarray, distance: float) -> np.ndarray:
    """The array with each element moved by its size times a distance, or by 1 where that is more and far is meant."""
    if not distance:
        return array
    signs = np.random.default_rng([DISTANCES.index(abs(distance)), 2]).choice((-1.0, 1.0), array.shape)
    if abs(distance) == FAR:
        sizes = np.where(sizes > 0, np.maximum(sizes, 1.0), 0.0)
    return array + signs * distance * sizes


def noise_at(outputs_at: Callable[[float], tuple[float, np.ndarray]], step: float, weights: np.ndarray) -> float:
    """The likely error of one weighted sum of outputs where a difference takes them: around the end of its step.

    The lines near an array are far shorter than most steps. A sum within a forward that rounding keeps constant on the
    short way, and moves on the long one, is rough here only.

    outputs_at: the distance really gone along a line, and the outputs (m,) there
    weights:    (m,)
    """
    places, bases = _places_around()
    answers = [outputs_at(float(step * place)) for place in places]
    values = np.array([outputs - answers[POINTS // 2][1] for _, outputs in answers]) @ weights  # (POINTS,)
    gone = np.array([distance for distance, _ in answers])  # (POINTS,)
    if not np.isfinite(values).all() or np.ptp(gone) == 0.0:
        return 0.0
    if np.abs(gone - step * places).max() > ON_THE_SPOT * np.ptp(gone):
        bases = _polynomials(gone)
    return LIKELY * float(_beside_polynomials(bases, values[:, None])[0])


def _along_a_line(
    outputs_at: Callable[[np.ndarray], np.ndarray], array: np.ndarray, sizes: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The noise (m,) seen on one line; which outputs move enough for it to tell, (m,) bool; and their sizes (m,).

    Outputs that are far rougher on it than farther along have a kink on the way, and not that noise.
    """
    noise, moves, size = _at_points(outputs_at, array, sizes, spacing, 0)
    if (moves & (noise > HARMLESS * own_rounding(size))).any():
        beyond, moves_there, _ = _at_points(outputs_at, array, sizes, spacing, POINTS)
        noise = np.where(moves_there & (beyond < SMOOTHER * noise), beyond, noise)
    return noise, moves, size


def _at_points(
    outputs_at: Callable[[np.ndarray], np.ndarray], array: np.ndarray, sizes: np.ndarray, spacing: float, first: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same by what is seen at the points of a line, from the place `first` on.

    The points are hit exactly, so that no rounding of the inputs is taken for one of the outputs. They lie irregularly
    and use all bits that there are, so that the roundings on the way cannot be equal by chance. The elements move by
    different amounts, or a norm would not see a line to the origin. The finest line is bent a little: on a straight one
    k x would round alike, time and again, for some k. The array itself is not among the points: there may be a kink.
    """
    places, bases = _places(spacing)
    along, unit = _directions(array.shape), sizes * spacing
    number = LAST_BITS * (first + places - POINTS / 2)  # (POINTS,), whole numbers on the finest line
    bends = number * (number + 1) / 2 * (FINEST_UNIT if spacing == SPACINGS[0] else 0.0)  # (POINTS,)
    moves = np.multiply.outer(first + places, along) + bends.reshape(POINTS, *(1,) * array.ndim)  # (POINTS, *shape)
    points = array + moves * unit  # (POINTS, *shape)
    with np.errstate(all="ignore"):
        values = np.stack([outputs_at(point) for point in points])  # (POINTS, m)
        usable = np.isfinite(values).all(axis=0)  # (m,)
        size = np.where(usable, np.abs(values).max(axis=0), 0.0)  # (m,)
        noise = LIKELY * _beside_polynomials(bases, np.where(usable, values - values[POINTS // 2], 0.0))
    distinct = 1 + (np.diff(np.sort(values, axis=0), axis=0) > 0).sum(axis=0)  # (m,)
    return np.where(usable & (distinct > 1), noise, np.inf), usable & (distinct >= DISTINCT), size


@cache
def _places(spacing: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Where the points of a line lie (POINTS,), between 1 and POINTS + 1, and the bases of the polynomials there."""
    bits = BITS + int(np.log2(spacing))
    drawn = np.random.default_rng(0).integers(2**bits, 2 ** (bits + 1), POINTS)
    places = drawn * 2.0**-bits + np.arange(POINTS)
    return places, _polynomials(places)


@lru_cache(maxsize=64)
def _directions(shape: tuple[int, ...]) -> np.ndarray:
    """How far each element moves, and to which side, over its size."""
    rng = np.random.default_rng(0)
    directions = np.asarray(rng.choice((-1.0, 1.0), shape) * np.asarray(rng.choice(MOVES, shape), float) / 64)
    directions.flags.writeable = False
    return directions


@cache
def _places_around() -> tuple[np.ndarray, list[np.ndarray]]:
    """Places around 1 (POINTS,), and the bases of the polynomials there."""
    irregular = np.arange(POINTS) + np.random.default_rng(1).uniform(0.0, 1.0, POINTS)
    places = 1 + NEARBY * irregular / POINTS
    return places, _polynomials(places)


def _polynomials(places: np.ndarray) -> list[np.ndarray]:
    """Orthonormal bases (POINTS, degree + 1) of the polynomials of each degree."""
    centred = 2 * (places - places.mean()) / np.ptp(places)
    return [np.linalg.qr(np.vander(centred, degree + 1))[0] for degree in DEGREES]


def _beside_polynomials(bases: list[np.ndarray], values: np.ndarray) -> np.ndarray:
    """The standard deviation of values (POINTS, m) from polynomials of low degree: the smallest of all degrees (m,)."""
    noise = np.full(values.shape[1:], np.inf)
    for basis in bases:
        rest = values - basis @ (basis.T @ values)
        rest -= basis @ (basis.T @ rest)  # once more: the values are far larger than what is looked for
        unit = powers_of_two(np.abs(rest).max(axis=0))  # without which squares over- or underflow
        rest /= unit
        noise = np.fmin(noise, unit * np.sqrt((rest * rest).sum(axis=0) / (POINTS - basis.shape[1])))
    return noise


def _sizes(array: np.ndarray) -> np.ndarray:
    """The size of each element as a power of two; that of a typical one where it is 0, and 0 where it is infinite."""
    size = np.where(np.isfinite(array), np.abs(array), 0.0)
    known = size[size > 0]
    typical = median(known) if known.size else 1.0
    size = np.where(size > 0, size, np.where(np.isfinite(array), typical, 0.0))
    return np.where(size > 0, powers_of_two(size), 0.0)
