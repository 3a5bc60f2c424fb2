"""Elements at a kink, or so near that a usual step crosses it. Between the two slopes every answer is right there, at a
tie of a maximum every split of the cotangent; anything else is wrong."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np

from .elementwise import signed
from .problem import Problem, by_element, by_row

SHAPES = ((2, 5), (3, 4), (7,), (2, 3, 4))
BENDS: dict[str, tuple[Callable, Callable, float, float]] = {  # NumPy, mpmath, slopes to the left and right of 0
    "relu": (lambda x: np.maximum(x, 0.0), lambda x: max(x, mpmath.mpf(0)), 0.0, 1.0),
    "leaky relu": (lambda x: np.where(x > 0, x, 0.25 * x), lambda x: x if x > 0 else x / 4, 0.25, 1.0),
    "abs": (np.abs, abs, -1.0, 1.0),
    "relu + sin": (
        lambda x: np.maximum(x, 0.0) + np.sin(x),
        lambda x: max(x, mpmath.mpf(0)) + mpmath.sin(x),
        0.0,
        1.0,
    ),
}


def bent(rng: np.random.Generator) -> Problem:
    """One or two elements exactly at 0, or at 1e-12 to 1e-4 beside it."""
    name = list(BENDS)[rng.integers(len(BENDS))]
    f, exact, left, right = BENDS[name]
    x = signed(rng, SHAPES[rng.integers(len(SHAPES))]) * 10 ** rng.choice((0.0, 0.0, rng.uniform(-6, 6)))
    at = rng.choice(x.size, rng.integers(1, 3), replace=False)
    exactly = bool(rng.random() < 0.6)
    smooth = "sin" in name
    if smooth:
        x = signed(rng, x.shape)
    x.flat[at] = 0.0 if exactly else signed(rng, at.shape) * 10 ** rng.uniform(-12, -4) * np.abs(x).max()

    def backward(choice):
        def chosen(dy, x):
            slope = np.where(x > 0, right, left)
            slope.flat[at] = slope.flat[at] if choice is None else choice
            return dy * (slope + np.cos(x) if smooth else slope)

        return chosen

    middle = float(rng.choice((left, right, (left + right) / 2))) if exactly else None
    outside = {
        "at the kink beyond the right slope": backward(right + 0.4 * (right - left)),
        "at the kink below the left slope": backward(left - 0.02 * (right - left)),
        "at the kink twice the right slope": backward(2 * right),
    }
    beside = {"beside the kink the mean of the slopes": backward((left + right) / 2)}
    length = np.abs(x)
    length.flat[at] = np.abs(x).max() if exactly else length.flat[at]
    return Problem(
        f"{name} at a kink",
        "at a kink" if exactly else "beside a kink",
        lambda x: (f(x), x),
        backward(middle),
        lambda x: (np.frompyfunc(exact, 1, 1)(x),),
        (x,),
        (np.minimum(length, 1.0) if smooth else length,),
        (by_element,),
        faults=outside if exactly else beside,
    )


def tied(rng: np.random.Generator) -> Problem:
    """Rows of a maximum, one of them with a tie of two, exactly or but for 1e-12 to 1e-5."""
    rows, columns = int(rng.integers(2, 4)), int(rng.integers(4, 6))
    x = signed(rng, (rows, columns))
    row, (first, second) = int(rng.integers(rows)), rng.choice(columns, 2, replace=False)
    exactly = bool(rng.random() < 0.6)
    gap = 0.0 if exactly else 10 ** rng.uniform(-12, -5)
    x[row, first] = x[row].max() + rng.uniform(0.2, 0.5)
    x[row, second] = x[row, first] - gap
    x *= 10 ** rng.choice((0.0, 0.0, rng.uniform(-6, 6)))

    def backward(shares):
        def split(dy, x):
            dx = np.zeros_like(x)
            dx[np.arange(rows), x.argmax(axis=-1)] = dy
            dx[row, [first, second]] = dy[row] * np.array(shares)
            return dx

        return split

    share = float(rng.choice((0.0, 0.3, 0.5, 1.0))) if exactly else 1.0
    mask = np.zeros(x.shape, dtype=bool)
    mask[row, [first, second]] = True
    wrong = {"(0, 0)": (0, 0), "(1, 1)": (1, 1), "(0.7, 0.7)": (0.7, 0.7), "(1.5, -0.5)": (1.5, -0.5)}
    near = {"(0, 1)": (0, 1), "(0.5, 0.5)": (0.5, 0.5), "(1, 1)": (1, 1)}
    return Problem(
        "max with a tie",
        "at a tie" if exactly else "beside a tie",
        lambda x: (x.max(axis=-1), x),
        backward((share, 1 - share)),
        lambda x: (x.max(axis=-1),),
        (x,),
        (_lengths(x),),
        (by_row,),
        joint=(mask,) if exactly else (),
        faults={f"{name} at the tie": backward(shares) for name, shares in (wrong if exactly else near).items()},
    )


def _lengths(x):
    """Half the way to the next element that could become the largest, or that the largest could fall to."""
    lengths = np.empty_like(x)
    for row, values in enumerate(x):
        ordered = np.unique(values)  # without the tie
        top, next_one = ordered[-1], ordered[-2]
        lengths[row] = np.where(values == top, top - next_one, top - values) / 2
    return lengths


KINKS: dict[str, Callable[[np.random.Generator], Problem]] = {"a kink": bent, "a tie": tied}
