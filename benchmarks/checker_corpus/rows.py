"""Functions of rows: reductions, softmax, norms, cumulative sums. x is (R, C)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import mpmath
import numpy as np

from tinygrad_arith.ops import max_backward, max_forward, mean_backward, mean_forward

from . import exact as e
from .elementwise import signed
from .problem import Backward, Problem, by_row

SHAPES = ((2, 3), (3, 4), (2, 5), (4, 3))


@dataclass(frozen=True)
class RowFormula:
    """forward(x) -> (out, cache), backward, the exact function of an object array, and the length of each element.

    width:  whether the function has a width of its own, so that x / s is asked for at other scales
    far:    whether x may lie far from 0
    powers: whether rows may be of very different sizes
    """

    forward: Callable
    backward: Backward
    exact: Callable
    length: Callable[[np.ndarray], np.ndarray]
    width: bool
    far: bool = False
    powers: bool = False
    faults: dict[str, Backward] = field(default_factory=dict)


def _row(values):
    return values.sum(axis=-1, keepdims=True)


def _one(x):
    return np.ones_like(x)


def _norm(x):
    return np.broadcast_to(np.sqrt(_row(x * x)), x.shape)


def _deviation(x):
    return np.broadcast_to(x.std(axis=-1, keepdims=True), x.shape)


def _largest(x):
    return np.broadcast_to(np.abs(x).max(axis=-1, keepdims=True), x.shape)


def _softmax(x):
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return weights / _row(weights)


def _exact_softmax(x):
    weights = e.exp(x - x.max(axis=-1, keepdims=True))
    return weights / _row(weights)


def _logsumexp(x):
    largest = x.max(axis=-1, keepdims=True)
    return (largest + np.log(_row(np.exp(x - largest))))[..., 0], _softmax(x)


def _log_softmax(x):
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(_row(np.exp(shifted))), _softmax(x)


def _exact_logsumexp(x):
    largest = x.max(axis=-1, keepdims=True)
    return largest + e.log(_row(e.exp(x - largest)))


def _variance(x):
    centered = x - x.mean(axis=-1, keepdims=True)
    return (centered * centered).mean(axis=-1), centered


def _variance_by_squares(x):
    """What nobody should do: far from 0 the difference is all rounding."""
    return (x * x).mean(axis=-1) - x.mean(axis=-1) ** 2, x - x.mean(axis=-1, keepdims=True)


def _exact_variance(x):
    centered = x - _row(x) / x.shape[-1]
    return (centered * centered).sum(axis=-1) / x.shape[-1]


def _deviations(x):
    variance, centered = _variance(x)
    return np.sqrt(variance), (centered, np.sqrt(variance))


def _normalised(x):
    norm = np.sqrt(_row(x * x))
    return x / norm, (x / norm, norm)


def _normalised_backward(dy, cache):
    y, norm = cache
    return (dy - y * _row(y * dy)) / norm


def _gap(x):
    """To the next other maximum: half the difference of the two largest, or of an element and the largest."""
    ordered = np.sort(x, axis=-1)
    to_top = ordered[..., -1:] - x
    return np.where(to_top > 0, to_top, ordered[..., -1:] - ordered[..., -2:-1]) / 2


def _back_cumulated(dy, cache):
    return np.flip(np.cumsum(np.flip(dy, -1), axis=-1), -1)


ROWS: dict[str, RowFormula] = {
    "softmax": RowFormula(
        lambda x: (_softmax(x), _softmax(x)), lambda dy, p: p * (dy - _row(p * dy)), lambda x: (_exact_softmax(x),),
        _one, width=True, far=True,
        faults={"without the row sum": lambda dy, p: p * dy, "the diagonal only": lambda dy, p: dy * p * (1 - p)},
    ),
    "log softmax": RowFormula(
        _log_softmax, lambda dy, p: dy - p * _row(dy), lambda x: (x - _exact_logsumexp(x),), _one, width=True, far=True,
        faults={"without the row sum": lambda dy, p: dy * (1 - p)},
    ),
    "logsumexp": RowFormula(
        _logsumexp, lambda dy, p: dy[..., None] * p, lambda x: (_exact_logsumexp(x)[..., 0],), _one, width=True,
        far=True,
    ),
    "l2 norm": RowFormula(
        lambda x: (np.sqrt((x * x).sum(axis=-1)), x), lambda dy, x: dy[..., None] * x / np.sqrt(_row(x * x)),
        lambda x: (e.sqrt((x * x).sum(axis=-1)),), _norm, width=False, powers=True,
        faults={"norm + 1e-8": lambda dy, x: dy[..., None] * x / (np.sqrt(_row(x * x)) + 1e-8)},
    ),
    "x / its norm": RowFormula(
        _normalised, _normalised_backward, lambda x: (x / e.sqrt(_row(x * x)),), _norm, width=False, powers=True,
        faults={"as if the norm were constant": lambda dy, cache: dy / cache[1]},
    ),
    "variance": RowFormula(
        _variance, lambda dy, centered: dy[..., None] * 2 * centered / centered.shape[-1],
        lambda x: (_exact_variance(x),), _deviation, width=False, far=True, powers=True,
        faults={"over n - 1": lambda dy, centered: dy[..., None] * 2 * centered / (centered.shape[-1] - 1)},
    ),
    "variance by squares": RowFormula(
        _variance_by_squares, lambda dy, centered: dy[..., None] * 2 * centered / centered.shape[-1],
        lambda x: (_exact_variance(x),), _deviation, width=False, far=True, powers=True,
    ),
    "standard deviation": RowFormula(
        _deviations, lambda dy, cache: dy[..., None] * cache[0] / (cache[0].shape[-1] * cache[1][..., None]),
        lambda x: (e.sqrt(_exact_variance(x)),), _deviation, width=False, far=True, powers=True,
    ),
    "sum of squares": RowFormula(
        lambda x: ((x * x).sum(axis=-1) / 2, x), lambda dy, x: dy[..., None] * x,
        lambda x: ((x * x).sum(axis=-1) / 2,), _largest, width=False, far=True, powers=True,
    ),
    "mean": RowFormula(
        lambda x: mean_forward(x, axis=-1), mean_backward, lambda x: (x.sum(axis=-1) / x.shape[-1],), _largest,
        width=False, far=True, powers=True,
        faults={"not divided": lambda dy, cache: mean_backward(dy, cache) * cache.shape[-1]},
    ),
    "max": RowFormula(
        lambda x: max_forward(x, axis=-1), max_backward, lambda x: (x.max(axis=-1),), _gap, width=False, far=True,
        powers=True, faults={"to every element": lambda dy, c: np.broadcast_to(dy[..., None], c.is_max.shape).copy()},
    ),
    "cumulative sum": RowFormula(
        lambda x: (np.cumsum(x, axis=-1), None), _back_cumulated, lambda x: (np.cumsum(x, axis=-1),), _largest,
        width=False, far=True, powers=True, faults={"forwards": lambda dy, cache: np.cumsum(dy, axis=-1)},
    ),
    "product of a row": RowFormula(
        lambda x: (x.prod(axis=-1), (x, x.prod(axis=-1, keepdims=True))),
        lambda dy, cache: dy[..., None] * cache[1] / cache[0], lambda x: (x.prod(axis=-1),), np.abs, width=False,
        powers=True,
    ),
}  # fmt: skip


def by_rows(name: str, rng: np.random.Generator) -> Problem:
    """One of these at drawn inputs: of one scale, far from 0, or rows of very different sizes."""
    formula = ROWS[name]
    shape = SHAPES[rng.integers(len(SHAPES))]
    width = float(f"{10 ** rng.uniform(-12, 12):.3g}")
    x, placed, offset = signed(rng, shape) * width, "none", 0.0
    if formula.width and rng.random() < 0.3:
        x = x * 10 ** rng.uniform(-3, 1.3)  # all alike, or one far above the others
    if formula.powers and rng.random() < 0.3:
        x = x * 10 ** rng.uniform(-6, 6, (shape[0], 1))
        return _problem(name, formula, x, width, placed, offset, mixed=True)
    if formula.far and rng.random() < 0.3:
        offset, placed = float(rng.uniform(1, 8)), "of the input"
        x = x + width * 10**offset
    return _problem(name, formula, x, width, placed, offset)


def _problem(name, formula: RowFormula, x, width, placed, offset, mixed=False) -> Problem:
    if not formula.width:
        width = 1.0

    def forward(given):
        return formula.forward(given / width if formula.width else given)

    def scaled(backward):
        return (lambda dy, cache: backward(dy, cache) / width) if formula.width else backward

    return Problem(
        name,
        "reduction",
        forward,
        scaled(formula.backward),
        lambda given: formula.exact(given / mpmath.mpf(width)),
        (x,),
        (formula.length(x / width) * width,),
        (by_row,),
        faults={slip: scaled(backward) for slip, backward in formula.faults.items()},
        placed=placed,
        offset=offset,
        mixed=mixed,
    )
