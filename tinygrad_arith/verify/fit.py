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

FEW, MANY = 32, 128  # pairs of points, one on each side
WELL = 2e-6  # the relative error of a slope that needs no more of them
TERMS = range(2, 7)  # of the polynomial: t, t^3, ...
REACH = 0.47  # of the line's scale
SURE = 4.0  # standard deviations


def _least_error(pairs: int, line: Line, cotangent: np.ndarray) -> float:
    """What the known rounding leaves of a fit's error at best: with the fewest terms."""
    gain = float(np.linalg.norm(_powers(pairs, TERMS.start, 1)[1][0]))
    return SURE * _known(line, cotangent) * gain / (REACH * line.scale)


def _known(line: Line, cotangent: np.ndarray) -> float:
    """The standard deviation of <c, F> over two; `line.noise` is two of them, of a single output."""
    return float(np.abs(cotangent) @ line.noise) / 4


def fitted_slope(line: Line, cotangent: np.ndarray, worse_than: float = np.inf) -> Estimate | None:
    """The slope of <c, F> by a least-squares fit, with the number of terms that leaves the smallest error; None where
    the forward does not reach so far, or rounding makes every fit worse than that.
    """
    few = _through(FEW, line, cotangent, worse_than)
    if few is None or few.error <= WELL * abs(few.value):
        return few
    many = _through(MANY, line, cotangent, worse_than)
    return many if many is not None and many.error < few.error else few


def _through(pairs: int, line: Line, cotangent: np.ndarray, worse_than: float) -> Estimate | None:
    """The same through so many pairs of points."""
    reach = _few_bits(REACH * line.scale)
    if not 0 < reach < np.inf or _least_error(pairs, line, cotangent) > worse_than:
        return None
    places = _places(pairs)
    plus, minus = (np.array([line.at(float(side * reach * t))[1] for t in places]) for side in (1, -1))  # (pairs, m)
    odd, even = (plus - minus) / 2, (plus + minus) / 2 - line.here  # (pairs, m)
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
    pairs = len(part)
    powers, inverse = _powers(pairs, terms, first)
    rest = part @ cotangent - powers @ (inverse @ (part @ cotangent))  # (pairs,)
    return inverse[0] @ part, float(np.sqrt(rest @ rest / (pairs - terms))), float(np.linalg.norm(inverse[0]))


@cache
def _places(pairs: int) -> np.ndarray:
    """Where the points lie, over the reach (pairs,): denser towards its end, and in few bits."""
    return np.round(2.0**20 * np.sin(np.pi / 2 * (np.arange(pairs) + 0.5) / pairs)) * 2.0**-20


@cache
def _powers(pairs: int, terms: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Every second power of the places (pairs, terms), and the pseudo-inverse (terms, pairs)."""
    powers = _places(pairs)[:, None] ** (2 * np.arange(terms) + first)  # (pairs, terms)
    return powers, np.linalg.pinv(powers)


def _few_bits(number: float) -> float:
    """A number with its first 20 bits: products of two such are exact."""
    unit = power_of_two(number) * 2.0**-20
    return float(np.floor(number / unit) * unit) if unit else 0.0
