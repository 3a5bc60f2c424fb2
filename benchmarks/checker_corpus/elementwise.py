"""Element-wise functions, each written for NumPy and for mpmath, and the ways in which their inputs are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import mpmath
import numpy as np
from scipy.special import erf

from tinygrad_arith.ops import (
    gelu_backward,
    gelu_exact_backward,
    gelu_exact_forward,
    gelu_forward,
    relu_backward,
    relu_forward,
)

from .problem import Problem, by_element

SHAPES = ((2, 3), (5,), (3, 4), (7,), (2, 5), (2, 3, 4))
LONG = ((200,), (300,), (40, 6), (16, 25))
EPOCHS = (1e3, 1e5, 1.7e9, 1e8)  # where the clock of "timestamps" starts
CUBIC, TANH_SCALE = 0.044715, float(np.sqrt(2.0 / np.pi))

Drawn = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True)
class Formula:
    """y = f(x), with slope(x, y) its derivative and `exact` the function of one mpmath number.

    length:    how far x may move before the function looks different, of x
    draw:      x of ordinary size
    exponents: the powers of ten that x may be scaled by, with the formula as it is
    width:     whether f(x / s) is asked for, too, at every s
    flat:      whether f is at rest, or straight, far from 0
    powers:    whether one array may hold x of all these sizes
    edge:      exponents of single elements near the edge of the domain, where the function is steep
    far:       whether x may lie far from 0, at an offset
    slips:     wrong slopes, by description
    """

    f: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray, np.ndarray], np.ndarray]
    exact: Callable
    length: Callable[[np.ndarray], np.ndarray]
    draw: Drawn
    exponents: tuple[float, float] = (0, 0)
    width: bool = False
    flat: bool = False
    powers: bool = False
    edge: tuple[float, float] | None = None
    far: bool = False
    slips: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = field(default_factory=dict)


def signed(rng, shape):
    """Magnitudes from 0.3 to 2, random signs: none near 0."""
    return rng.uniform(0.3, 2.0, shape) * rng.choice((-1.0, 1.0), shape)


def positive(rng, shape):
    """From 0.3 to 2."""
    return rng.uniform(0.3, 2.0, shape)


def normal(rng, shape):
    """Normally distributed, of deviation 1."""
    return rng.normal(size=shape)


def around_zero(rng, shape):
    """Half the time none near 0, half the time normal: some a hundredth of the others from it."""
    return signed(rng, shape) if rng.random() < 0.5 else normal(rng, shape)


def below_one(rng, shape):
    """From 0.1 to 0.9."""
    return rng.uniform(0.1, 0.9, shape)


def _one(x):
    return np.ones_like(x)


def _wide(x):
    return np.sqrt(1.0 + x * x)


def _sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def _exact_sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


def _exact_gelu(x):
    return x / 2 * (1 + mpmath.tanh(mpmath.mpf(TANH_SCALE) * (x + mpmath.mpf(CUBIC) * x**3)))


def _exact_gelu_by_erf(x):
    return x / 2 * (1 + mpmath.erf(x / mpmath.sqrt(2)))


def _gaussian_slope(x, y):
    return -x * y


def _power(p: float, **settings) -> Formula:
    return Formula(
        lambda x: x**p,
        lambda x, y: p * x ** (p - 1),
        lambda x: mpmath.power(x, mpmath.mpf(p)),
        np.abs,
        positive,
        (-8, 8),
        powers=True,
        **settings,
    )


FORMULAS: dict[str, Formula] = {
    "sin": Formula(np.sin, lambda x, y: np.cos(x), mpmath.sin, _one, normal, (-12, 3), width=True, far=True),
    "exp": Formula(np.exp, lambda x, y: y, mpmath.exp, _one, normal, (-12, 0.7), width=True),
    "log": Formula(
        np.log, lambda x, y: 1 / x, mpmath.log, np.abs, positive, (-12, 12), powers=True, edge=(-10, -3), far=True,
        slips={"x + 1e-8 in the denominator": lambda x, y: 1 / (x + 1e-8)},
    ),
    "log1p": Formula(
        np.log1p, lambda x, y: 1 / (1 + x), mpmath.log1p, lambda x: 1 + np.abs(x), positive, (-12, 12), width=True,
        slips={"1 / x": lambda x, y: 1 / x},
    ),
    "expm1": Formula(
        np.expm1, lambda x, y: y + 1, mpmath.expm1, _one, normal, (-12, 0.7), width=True,
        slips={"y instead of y + 1": lambda x, y: y},
    ),
    "sqrt": Formula(
        np.sqrt, lambda x, y: 0.5 / y, mpmath.sqrt, np.abs, positive, (-12, 12), powers=True, edge=(-10, -3), far=True,
        slips={"y + 1e-5 in the denominator": lambda x, y: 0.5 / (y + 1e-5)},
    ),
    "reciprocal": Formula(
        lambda x: 1 / x, lambda x, y: -y * y, lambda x: 1 / x, np.abs, signed, (-12, 12), powers=True, edge=(-6, -2),
        slips={"x² + 1e-8 in the denominator": lambda x, y: -1 / (x * x + 1e-8)},
    ),
    "x log x": Formula(
        lambda x: x * np.log(x), lambda x, y: np.log(x) + 1, lambda x: x * mpmath.log(x), np.abs, positive, (-12, 12),
        powers=True, edge=(-10, -3), slips={"without the 1": lambda x, y: np.log(x)},
    ),
    "x ** 1.5": _power(1.5, edge=(-10, -3)),
    "x ** 2.7": _power(2.7),
    "x ** -0.5": _power(-0.5, edge=(-8, -2)),
    "tanh": Formula(np.tanh, lambda x, y: 1 - y * y, mpmath.tanh, _one, normal, (-12, 0.3), width=True, flat=True),
    "sigmoid": Formula(
        _sigmoid, lambda x, y: y * (1 - y), _exact_sigmoid, _one, normal, (-12, 0.7), width=True, flat=True,
    ),
    "softplus": Formula(
        lambda x: np.logaddexp(0, x), lambda x, y: _sigmoid(x), lambda x: mpmath.log1p(mpmath.exp(x)), _one, normal,
        (-12, 0.7), width=True, flat=True,
    ),
    "gelu": Formula(
        lambda x: gelu_forward(x)[0], lambda x, y: gelu_backward(np.ones_like(x), gelu_forward(x)[1]), _exact_gelu,
        _one, normal, (-12, 0.5), width=True, flat=True,
    ),
    "gelu exact": Formula(
        lambda x: gelu_exact_forward(x)[0],
        lambda x, y: gelu_exact_backward(np.ones_like(x), gelu_exact_forward(x)[1]),
        _exact_gelu_by_erf, _one, normal, (-12, 0.5), width=True, flat=True,
    ),
    "relu": Formula(
        lambda x: relu_forward(x)[0], lambda x, y: relu_backward(np.ones_like(x), relu_forward(x)[1]),
        lambda x: max(x, mpmath.mpf(0)), np.abs, around_zero, (-12, 12), powers=True,
        slips={"passes everything": lambda x, y: np.ones_like(x)},
    ),
    "leaky relu": Formula(
        lambda x: np.where(x > 0, x, 0.01 * x), lambda x, y: np.where(x > 0, 1.0, 0.01),
        lambda x: x if x > 0 else mpmath.mpf(0.01) * x, np.abs, around_zero, (-12, 12), powers=True,
        slips={"a leak of 0.02": lambda x, y: np.where(x > 0, 1.0, 0.02)},
    ),
    "abs": Formula(np.abs, lambda x, y: np.sign(x), abs, np.abs, around_zero, (-12, 12), powers=True, far=True),
    "square": Formula(
        lambda x: x * x, lambda x, y: 2 * x, lambda x: x * x, np.abs, signed, (-12, 12), powers=True, far=True,
        slips={"without the 2": lambda x, y: x},
    ),
    "cube": Formula(lambda x: x**3, lambda x, y: 3 * x * x, lambda x: x**3, np.abs, signed, (-12, 12), powers=True),
    "arccos(1 - x)": Formula(
        lambda x: np.arccos(1 - x), lambda x, y: 1 / np.sqrt(x * (2 - x)), lambda x: mpmath.acos(1 - x),
        lambda x: np.minimum(np.abs(x), np.abs(2 - x)), below_one, (-12, 0), edge=(-10, -3),
    ),
    "arctan": Formula(
        np.arctan, lambda x, y: 1 / (1 + x * x), mpmath.atan, _wide, normal, (-12, 6), width=True, flat=True,
        slips={"1 / (1 + x)": lambda x, y: 1 / (1 + np.abs(x))},
    ),
    "x / sqrt(1 + x²)": Formula(
        lambda x: x / np.sqrt(1 + x * x), lambda x, y: (1 + x * x) ** -1.5, lambda x: x / mpmath.sqrt(1 + x * x), _wide,
        normal, (-12, 3), width=True, flat=True,
    ),
    "silu": Formula(
        lambda x: x * _sigmoid(x), lambda x, y: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
        lambda x: x * _exact_sigmoid(x), _one, normal, (-12, 0.7), width=True, flat=True,
        slips={"the sigmoid alone": lambda x, y: _sigmoid(x)},
    ),
    "exp(-x²/2)": Formula(
        lambda x: np.exp(-x * x / 2), _gaussian_slope, lambda x: mpmath.exp(-x * x / 2), _one, normal, (-3, 0.3),
        width=True, flat=True,
    ),
    "erf": Formula(
        erf, lambda x, y: 2 / np.sqrt(np.pi) * np.exp(-x * x), mpmath.erf, _one, normal, (-12, 0.3), width=True,
        flat=True,
    ),
    "arcsinh": Formula(
        np.arcsinh, lambda x, y: 1 / np.sqrt(1 + x * x), mpmath.asinh, _wide, normal, (-12, 12), width=True,
    ),
    "logit": Formula(
        lambda x: np.log(x / (1 - x)), lambda x, y: 1 / (x * (1 - x)), lambda x: mpmath.log(x / (1 - x)),
        lambda x: np.minimum(np.abs(x), np.abs(1 - x)), below_one, (-12, 0), edge=(-10, -3),
        slips={"without 1 - x": lambda x, y: 1 / x},
    ),
    "1 / (1 + x²)": Formula(
        lambda x: 1 / (1 + x * x), lambda x, y: -2 * x * y * y, lambda x: 1 / (1 + x * x), _wide, normal, (-3, 2),
        width=True, flat=True,
    ),
    "log(1 + x), rounded within": Formula(
        lambda x: np.log(1 + x), lambda x, y: 1 / (1 + x), lambda x: mpmath.log(1 + x), lambda x: 1 + np.abs(x),
        positive, (-12, 2),
    ),
    "sqrt(1 + x) - 1, rounded within": Formula(
        lambda x: np.sqrt(1 + x) - 1, lambda x, y: 0.5 / np.sqrt(1 + x), lambda x: mpmath.sqrt(1 + x) - 1,
        lambda x: 1 + np.abs(x), positive, (-12, 2),
    ),
    "(1 - cos x) / x, rounded within": Formula(
        lambda x: (1 - np.cos(x)) / x, lambda x, y: np.sin(x) / x - 2 * (np.sin(x / 2) / x) ** 2,
        lambda x: 2 * mpmath.sin(x / 2) ** 2 / x, np.abs, signed, (-6, 0.3),
    ),
    "clip to [-1, 1]": Formula(
        lambda x: np.clip(x, -1, 1), lambda x, y: (np.abs(x) < 1) * 1.0,
        lambda x: min(max(x, mpmath.mpf(-1)), mpmath.mpf(1)), lambda x: np.abs(1 - np.abs(x)), signed,
        slips={"passes everything": lambda x, y: np.ones_like(x)},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Inputs:
    """x of a draw, with the function around it: gain * f((x - shift) / width)."""

    x: np.ndarray
    width: float = 1.0
    shift: float = 0.0
    placed: str = "none"
    offset: float = 0.0
    mixed: bool = False
    edge: bool = False


def plain(rng, formula, shape) -> Inputs:
    """Of one size, as the formula is; where that is an ordinary point, one element in some arrays is exactly 0."""
    x = formula.draw(rng, shape) * 10 ** rng.uniform(*formula.exponents)
    if formula.width and rng.random() < 0.2:
        x.flat[rng.integers(x.size)] = 0.0
    return Inputs(x)


def widened(rng, formula, shape) -> Inputs:
    """f(x / s) at any scale s."""
    width = float(f"{10 ** rng.uniform(-12, 12):.3g}")
    return Inputs(formula.draw(rng, shape) * width, width=width)


def timestamps(rng, formula, shape) -> Inputs:
    """f((x - start) / width), x near a start that is far from 0."""
    shift, width = float(rng.choice(EPOCHS)), float(rng.choice((1.0, 60.0, 86400.0)))
    return Inputs(
        shift + formula.draw(rng, shape) * width, width, shift, "of the input", float(np.log10(shift / width))
    )


def mixed(rng, formula, shape) -> Inputs:
    """Sizes over many powers of ten in one array."""
    low, high = max(formula.exponents[0], -8), min(formula.exponents[1], 8)
    centre, spread = rng.uniform(low, high), rng.uniform(1, 6)
    exponents = np.clip(rng.uniform(centre - spread, centre + spread, shape), *formula.exponents)
    return Inputs(formula.draw(rng, shape) * 10**exponents, mixed=True)


def near_edge(rng, formula, shape) -> Inputs:
    """One element near the edge of the domain, where the function is steep, beside ordinary ones."""
    x = formula.draw(rng, shape)
    x.flat[rng.integers(x.size)] *= 10 ** rng.uniform(*formula.edge)
    return Inputs(x, edge=True)


def steep(rng, formula, shape) -> Inputs:
    """f(x / s) of a small s: one or two elements lie in its bend, the others far out."""
    width = float(f"{10 ** rng.uniform(-8, -1):.3g}")
    x = np.clip(signed(rng, shape), -600 * width, 600 * width)  # exp(600) is finite
    at = rng.choice(x.size, rng.integers(1, 3), replace=False)
    x.flat[at] = formula.draw(rng, at.shape) * width
    return Inputs(x, width=width, edge=True)


def far(rng, formula, shape) -> Inputs:
    """Far from 0."""
    ratio = 10 ** rng.uniform(1, 8)
    return Inputs(ratio + formula.draw(rng, shape), placed="of the input", offset=float(np.log10(ratio)))


def ways(formula: Formula) -> list[Callable]:
    """Those in which this formula's inputs may be drawn."""
    asked = {widened: formula.width, timestamps: formula.width, steep: formula.flat, mixed: formula.powers}
    asked |= {near_edge: formula.edge, far: formula.far}
    return [plain, *(way for way, wanted in asked.items() if wanted)]


def elementwise(name: str, rng: np.random.Generator) -> Problem:
    """One formula at drawn inputs: as it is, or, one time in four, the sum of many, each with a weight."""
    formula, summed = FORMULAS[name], bool(rng.random() < 0.25)
    shape = tuple(LONG[rng.integers(len(LONG))] if summed else SHAPES[rng.integers(len(SHAPES))])
    way = ways(formula)[rng.integers(len(ways(formula)))]
    drawn = way(rng, formula, shape)
    gain = float(f"{10 ** rng.choice((0.0, 0.0, rng.uniform(-6, 6))):.3g}")
    weights = gain * (signed(rng, shape) if summed else np.ones(shape))
    if summed and rng.random() < 0.3:
        weights = weights * 10 ** rng.uniform(-4, 4, shape)
    kind = "sum of many terms" if summed else "near an edge" if drawn.edge else "element-wise"
    return problem_of(name, kind, formula, drawn, weights, summed)


def problem_of(
    name: str, kind: str, formula: Formula, drawn: Inputs, weights: np.ndarray, summed: bool = False
) -> Problem:
    """One formula at these inputs: weights * f, or the sum of it."""
    exact, exact_weights = np.frompyfunc(formula.exact, 1, 1), np.frompyfunc(mpmath.mpf, 1, 1)(weights)

    def inner(x):
        return (x - drawn.shift) / drawn.width if drawn.shift or drawn.width != 1 else x

    def forward(x):
        u = inner(x)
        y = formula.f(u)
        out = weights * y
        return (out.sum() if summed else out), (u, y)

    def backward_of(slope):
        return lambda dy, cache: dy * weights * slope(*cache) / drawn.width

    def exactly(x):
        return (exact_weights * exact((x - mpmath.mpf(drawn.shift)) / mpmath.mpf(drawn.width)),)

    return Problem(
        name,
        kind,
        forward,
        backward_of(formula.slope),
        exactly,
        (drawn.x,),
        (formula.length(inner(drawn.x)) * drawn.width,),
        (by_element,),
        summed=summed,
        faults={slip: backward_of(slope) for slip, slope in formula.slips.items()},
        placed=drawn.placed,
        offset=drawn.offset,
        mixed=drawn.mixed,
    )
