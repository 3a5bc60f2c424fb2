"""Values and derivatives that are exact for our purposes: mpmath numbers in NumPy arrays, differences of high order.

A step of 1e-7 of the length over which a function bends leaves an error of 1e-42 of a derivative by seven points; of 70
digits about 25 are lost in the fifth derivative. `tests/benchmarks/test_checker_errors.py` holds both to `mpmath.diff`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import mpmath
import numpy as np

from .problem import Coupling, Problem

DIGITS = 70
STEP = mpmath.mpf(10) ** -7  # of the length

number = np.frompyfunc(mpmath.mpf, 1, 1)
exp, log, sqrt = (np.frompyfunc(f, 1, 1) for f in (mpmath.exp, mpmath.log, mpmath.sqrt))
sin, cos, tanh, erf = (np.frompyfunc(f, 1, 1) for f in (mpmath.sin, mpmath.cos, mpmath.tanh, mpmath.erf))
_float = np.frompyfunc(float, 1, 1)


@contextmanager
def precision() -> Iterator[None]:
    """mpmath with the digits that are needed here."""
    with mpmath.workdps(DIGITS):
        yield


def as_floats(numbers: np.ndarray) -> np.ndarray:
    """The nearest float64 numbers."""
    return _float(numbers).astype(np.float64)


@dataclass
class Slopes:
    """The derivatives of terms by the elements they depend on, one entry a pair of them.

    owner, output: flat indices of the element and of the output (all outputs as one vector) that the term belongs to
    middle, left, right: the derivative, and those to the two sides (mpmath numbers)
    kink:          whether left and right differ
    second, third, fifth: higher derivatives (mpmath numbers; the second is the larger one of the two sides)
    """

    owner: np.ndarray
    output: np.ndarray
    middle: np.ndarray
    left: np.ndarray
    right: np.ndarray
    kink: np.ndarray
    second: np.ndarray
    third: np.ndarray
    fifth: np.ndarray

    @staticmethod
    def joined(parts: list[Slopes]) -> Slopes:
        """Those of several colours as one."""
        fields = Slopes.__dataclass_fields__
        return Slopes(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def terms_of(problem: Problem, arrays) -> tuple[np.ndarray, list[tuple[int, ...]], np.ndarray]:
    """The terms as one vector, their shapes by output, and the flat index of the output each belongs to."""
    terms = [np.asarray(t, dtype=object) for t in problem.exact(*arrays)]
    shapes = [t.shape for t in terms]
    if problem.summed:
        outputs = np.repeat(np.arange(len(terms)), [t.size for t in terms])
    else:
        outputs = np.arange(sum(t.size for t in terms))
    return np.concatenate([t.ravel() for t in terms]), shapes, outputs


def exact_outputs(problem: Problem, arrays) -> np.ndarray:
    """All outputs as one vector of mpmath numbers, at float64 inputs."""
    terms, shapes, outputs = terms_of(problem, [number(a) for a in arrays])
    values = terms
    if problem.summed:
        values = np.array([terms[outputs == k].sum() for k in range(len(shapes))], dtype=object)
    if not problem.outside:
        return values
    sizes = [1] * len(shapes) if problem.summed else [int(np.prod(shape)) for shape in shapes]
    return values + number(np.repeat(problem.outside, sizes))


def slopes(problem: Problem, position: int, coupling: Coupling) -> Slopes:
    """All derivatives by one input."""
    arrays = [number(a) for a in problem.arrays]
    here, shapes, outputs = terms_of(problem, arrays)
    steps = number(problem.lengths[position]) * STEP
    parts = []
    for mask, owner in coupling(arrays[position].shape, shapes):
        moved = {0: here}
        for k in (-3, -2, -1, 1, 2, 3):
            shifted = list(arrays)
            shifted[position] = arrays[position] + k * steps * mask
            moved[k] = terms_of(problem, shifted)[0]
        reached = owner >= 0
        h = steps.ravel()[owner[reached]]
        points = {k: values[reached] for k, values in moved.items()}
        parts.append(_derivatives(points, h, owner[reached], outputs[reached]))
    return Slopes.joined(parts)


def _derivatives(at: dict[int, np.ndarray], h: np.ndarray, owner: np.ndarray, output: np.ndarray) -> Slopes:
    """From the values at seven points, h apart."""
    d1, d2, d3 = (at[k] - at[-k] for k in (1, 2, 3))
    right = (18 * (at[1] - at[0]) - 9 * (at[2] - at[0]) + 2 * (at[3] - at[0])) / (6 * h)
    left = -(18 * (at[-1] - at[0]) - 9 * (at[-2] - at[0]) + 2 * (at[-3] - at[0])) / (6 * h)
    largest = np.maximum.reduce([abs(at[k] - at[0]) for k in (-3, -2, -1, 1, 2, 3)])
    seconds = [(-5 * (at[k] - at[0]) + 4 * (at[2 * k] - at[0]) - (at[3 * k] - at[0])) / h**2 for k in (-1, 1)]
    return Slopes(
        owner,
        output,
        (45 * d1 - 9 * d2 + d3) / (60 * h),
        left,
        right,
        (abs(right - left) * h > largest * mpmath.mpf(10) ** -9).astype(bool),
        np.maximum(abs(seconds[0]), abs(seconds[1])),
        (-13 * d1 + 8 * d2 - d3) / (8 * h**3),
        (5 * d1 - 4 * d2 + d3) / (2 * h**5),
    )
