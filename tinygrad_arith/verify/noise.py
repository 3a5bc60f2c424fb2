"""How far rounding moves the outputs of a forward: what no difference can see through.

The rounding of an output itself is known: half a unit in its last place. What happens inside is not: `(x + 1e8) - 1e8`
is exact to 1e-16 by the look of its outputs and rounds at 1e-8. So the noise is measured, as the roughness of the
outputs along a line: high differences of equidistant values remove every smooth function and leave the noise (J. Moré
and S. Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33, 2011).
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import numpy as np

__all__ = ["own_rounding", "power_of_two", "roughness"]

POINTS = 8  # on a line
ORDERS = (3, 4, 5)  # of the differences
# Spacings of the points, relative to each element. At the first the fifth differences of smooth functions vanish in
# rounding; the finer ones are for kinks and steep functions, which are rough as well.
SPACINGS = (2.0**-12, 2.0**-22, 2.0**-32, 2.0**-42)
FAR = 2.0
DISTANCES = (0.0, 0.25, 1.0, FAR)  # at which outputs are looked at, relative to each element, until they move
BITS = 36  # of a step; with those of the spacing and of the points' numbers as many as a float64 has
HARMLESS = 16  # times the rounding of the output itself: such noise is not looked into
LIKELY = 2.0  # the largest error of one evaluation over the standard deviation


def own_rounding(outputs: np.ndarray) -> np.ndarray:
    """The largest rounding error of each output by itself: half a unit in the last place, (m,)."""
    return 0.5 * np.spacing(np.abs(outputs))


def power_of_two(size: float) -> float:
    """The power of two at or below a positive size: a step that changes a floating-point number exactly."""
    return float(2.0 ** np.floor(np.log2(size))) if 0 < size < np.inf else 1.0


def roughness(outputs_at: Callable[[np.ndarray], np.ndarray], array: np.ndarray, here: np.ndarray) -> np.ndarray:
    """The likely error of each output, (m,): its own rounding, or more where it is rough along lines through `array`.

    An output that moves along a line without any roughness is exact: a maximum, a relu, a copy. Its error is 0. One that
    does not move near `array` is looked at farther off: there a relu that was off is on, and a sum that rounding kept
    where it was shows how coarse that rounding is.

    outputs_at: the outputs (m,) at another array of the same shape; not finite where the forward has none
    here:       the outputs at `array`
    """
    noise, known = np.full(here.shape, np.inf), np.zeros(here.shape, dtype=bool)
    for number, distance in enumerate(DISTANCES):
        if known.all():
            break
        seen, told = _noise_around(outputs_at, _displaced(array, distance, number), here)
        noise, known = np.where(~known & told, seen, noise), known | told
    return np.where(known, noise, own_rounding(here))


def _noise_around(
    outputs_at: Callable[[np.ndarray], np.ndarray], base: np.ndarray, here: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The error (m,) of outputs of the size of `here`, by how rough they are around another array; and of which this is
    known, (m,) bool.
    """
    noise, known, size = _along_a_line(outputs_at, base, SPACINGS[0])
    own = own_rounding(size)  # (m,)
    for spacing in SPACINGS[1:]:
        if (noise <= HARMLESS * own)[known].all():
            break
        finer, told, _ = _along_a_line(outputs_at, base, spacing)
        told &= (
            finer > 0
        )  # an output that is rough on a wider line and not on this one takes equal steps here by chance
        noise = np.where(known & told, np.minimum(noise, finer), noise)
    mere = own_rounding(here)  # (m,)
    return np.where(
        noise == 0, 0.0, np.where(noise <= HARMLESS * own, np.maximum(mere, np.minimum(noise, HARMLESS * mere)), noise)
    ), known


def _displaced(array: np.ndarray, distance: float, seed: int) -> np.ndarray:
    """The array with each element moved by its size times a distance, or by 1 where that is more and far is meant."""
    if not distance:
        return array
    signs = np.random.default_rng([seed, 2]).choice((-1.0, 1.0), array.shape)
    sizes = _sizes(array)
    return array + signs * distance * (np.where(sizes > 0, np.maximum(sizes, 1.0), 0.0) if distance == FAR else sizes)


def _along_a_line(
    outputs_at: Callable[[np.ndarray], np.ndarray], array: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The noise (m,) seen on one line, which outputs the line tells something about, (m,) bool: those that move; and how
    large these are, (m,).

    The points are hit exactly, so that no rounding of the inputs is taken for one of the outputs; and the steps use all
    bits that there are, so that nothing on the way stays exact by chance: 1 + x is, where x is a multiple of 2^-20. They
    differ from element to element, or a norm would not see a line to the origin. The array itself is not among the
    points: there may be a kink.
    """
    rng = np.random.default_rng(0)
    step = rng.integers(2**BITS, 2 ** (BITS + 1), array.shape) * 2.0**-BITS * rng.choice((-1.0, 1.0), array.shape)
    move = step * (_sizes(array) * spacing)
    with np.errstate(all="ignore"):
        values = np.stack([outputs_at(array + p * move) for p in range(1, POINTS + 1)])  # (POINTS, m)
        usable = np.isfinite(values).all(axis=0)  # (m,)
        noise = np.full(values.shape[1:], np.inf)
        for order in ORDERS:
            difference = np.diff(values, n=order, axis=0)  # (POINTS - order, m)
            seen = np.sqrt((difference * difference).mean(axis=0) / comb(2 * order, order))  # (m,)
            noise = np.fmin(noise, seen)
        size = np.abs(values).max(axis=0)  # (m,)
    known = usable & (values != values[0]).any(axis=0)
    return np.where(usable, LIKELY * noise, np.inf), known, np.where(usable, size, 0.0)


def _sizes(array: np.ndarray) -> np.ndarray:
    """The size of each element as a power of two; that of a typical one where it is 0, and 0 where it is infinite."""
    size = np.where(np.isfinite(array), np.abs(array), 0.0)
    known = size[size > 0]
    typical = float(np.median(known)) if known.size else 1.0
    size = np.where(size > 0, size, np.where(np.isfinite(array), typical, 0.0))
    with np.errstate(divide="ignore"):
        return np.where(size > 0, 2.0 ** np.floor(np.log2(size)), 0.0)
