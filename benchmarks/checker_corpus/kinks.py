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


SIDES: dict[str, tuple[Callable, Callable, Callable, Callable]] = {  # NumPy, mpmath, slopes left and right of c
    "relu(x - c)": (
        lambda x, c: np.maximum(x - c, 0), lambda x, c: max(x - c, mpmath.mpf(0)),
        lambda x, c: 0 * x, lambda x, c: np.ones_like(x),
    ),
    "|x - c|": (lambda x, c: np.abs(x - c), lambda x, c: abs(x - c), lambda x, c: -np.ones_like(x), lambda x, c: x**0),
    "leaky(x - c)": (
        lambda x, c: np.where(x > c, x - c, 0.3 * (x - c)), lambda x, c: x - c if x > c else mpmath.mpf(0.3) * (x - c),
        lambda x, c: 0.3 * x**0, lambda x, c: x**0,
    ),
    "relu(x - c)^2": (
        lambda x, c: np.maximum(x - c, 0) ** 2, lambda x, c: max(x - c, mpmath.mpf(0)) ** 2,
        lambda x, c: 0 * x, lambda x, c: 2 * (x - c),
    ),
    "max(x^2, c^2)": (
        lambda x, c: np.maximum(x * x, c * c), lambda x, c: max(x * x, mpmath.mpf(c * c)),
        lambda x, c: 0 * x, lambda x, c: 2 * x,
    ),
    "max(exp(x / c), e)": (
        lambda x, c: np.maximum(np.exp(x / c), np.e), lambda x, c: max(mpmath.exp(x / c), mpmath.mpf(np.e)),
        lambda x, c: 0 * x, lambda x, c: np.exp(x / c) / c,
    ),
}  # fmt: skip


def beside(rng: np.random.Generator) -> Problem:
    """Elements on both sides of a kink at c, 1e-12 to 1e-1 of it away."""
    name = list(SIDES)[rng.integers(len(SIDES))]
    f, exact, left, right = SIDES[name]
    c = float(f"{10 ** rng.uniform(-6, 6):.3g}")
    shape = SHAPES[rng.integers(len(SHAPES))]
    distance = rng.uniform(0.1, 0.7, shape)
    at = rng.choice(distance.size, rng.integers(1, 4), replace=False)
    distance.flat[at] = 10 ** rng.uniform(-12, -1, at.size)
    x = c * (1 + distance * rng.choice((-1.0, 1.0), shape))
    x.flat[np.setdiff1d(np.arange(x.size), at)[0]] = 1.3 * c  # one at least has a slope
    chosen = np.zeros(shape, dtype=bool)
    chosen.flat[at] = True

    def backward(share):
        """The right one, or at the elements beside the kink some of the slope that lies on its other side."""

        def slope(dy, x):
            here, there = (np.where(side, right(x, c), left(x, c)) for side in (x > c, x <= c))
            return dy * np.where(chosen, (1 - share) * here + share * there, here)

        return slope

    length = np.abs(x - c)
    length = np.minimum(length, c)
    return Problem(
        name, "beside a kink", lambda x: (f(x, c), x), backward(0.0),
        lambda x: (np.frompyfunc(lambda number: exact(number, mpmath.mpf(c)), 1, 1)(x),), (x,), (length,),
        (by_element,), faults={f"{share} of the other side": backward(share) for share in (0.01, 0.5, 1.0)},
    )  # fmt: skip


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


KINKS: dict[str, Callable[[np.random.Generator], Problem]] = {"a kink": bent, "a tie": tied, "beside": beside}
