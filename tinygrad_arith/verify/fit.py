"""The slope where rounding hides it from single differences: a polynomial through many of them.

The odd part of the outputs along a line, (F(x + t) - F(x - t)) / 2, is the slope times t, plus t^3, t^5, ... A fit
through many points averages their rounding, and what it leaves over shows how large that rounding is. The even part is
fitted too: at a kink it is |t|, which no polynomial is.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from .differences import Estimate, Line
from .noise import power_of_two

__all__ = ["fitted_slope"]

PAIRS = 32  # of points, one on each side
TERMS = range(2, 7)  # of the polynomial: t, t^3, ...
REACH = 0.47  # of the line's scale
SURE = 4.0  # standard deviations
PLACES = np.round(2.0**20 * np.sin(np.pi / 2 * (np.arange(PAIRS) + 0.5) / PAIRS)) * 2.0**-20  # over the reach


def least_error(line: Line, cotangent: np.ndarray) -> float:
    """What the known rounding leaves of a fit's error at best: with the fewest terms."""
    return SURE * _known(line, cotangent) * float(np.linalg.norm(_powers(TERMS.start, 1)[1][0])) / (REACH * line.scale)


def _known(line: Line, cotangent: np.ndarray) -> float:
    """The standard deviation of <c, F> over two; `line.noise` is two of them, of a single output."""
    return float(np.abs(cotangent) @ line.noise) / 4


def fitted_slope(line: Line, cotangent: np.ndarray, worse_than: float = np.inf) -> Estimate | None:
    """The slope of <c, F> by a least-squares fit, with the number of terms that leaves the smallest error; None where
    the forward does not reach so far, or rounding makes every fit worse than that.
    """
    reach = _few_bits(REACH * line.scale)
    if not 0 < reach < np.inf or least_error(line, cotangent) > worse_than:
        return None
    plus, minus = (np.array([line.at(float(side * reach * t))[1] for t in PLACES]) for side in (1, -1))  # (PAIRS, m)
    odd, even = (plus - minus) / 2, (plus + minus) / 2 - line.here  # (PAIRS, m)
    if not np.isfinite(odd).all():
        return None
    known = _known(line, cotangent)
    columns = [_fit(odd, cotangent, terms) for terms in (*TERMS, TERMS.stop)]
    evens = [_fit(even, cotangent, terms, first=2)[1] for terms in TERMS]
    best: Estimate | None = None
    for (column, rest, gain), (wider, _, _), beside in zip(columns, columns[1:], evens, strict=False):
        noise = SURE * max(rest, beside, known) * gain / reach
        error = noise + abs(float(cotangent @ (wider - column))) / reach
        if best is None or error < best.error:
            best = Estimate(float(cotangent @ column) / reach, error, noise, reach, column / reach)
    return best


def _fit(part: np.ndarray, cotangent: np.ndarray, terms: int, first: int = 1) -> tuple[np.ndarray, float, float]:
    """The coefficients of the first power (m,), the standard deviation of <c, part> from the fit, and the factor by
    which rounding enters the former.
    """
    powers, inverse = _powers(terms, first)
    rest = part @ cotangent - powers @ (inverse @ (part @ cotangent))  # (PAIRS,)
    return inverse[0] @ part, float(np.sqrt(rest @ rest / (PAIRS - terms))), float(np.linalg.norm(inverse[0]))


@cache
def _powers(terms: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Every second power of the places (PAIRS, terms), and the pseudo-inverse (terms, PAIRS)."""
    powers = PLACES[:, None] ** (2 * np.arange(terms) + first)  # (PAIRS, terms)
    return powers, np.linalg.pinv(powers)


def _few_bits(number: float) -> float:
    """A number with its first 20 bits: products of two such are exact."""
    unit = power_of_two(number) * 2.0**-20
    return float(np.floor(number / unit) * unit) if unit else 0.0
