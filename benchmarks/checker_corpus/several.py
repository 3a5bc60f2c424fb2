"""Functions of several outputs: a backward that forgets one of them must not pass."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np

from . import exact as e
from .elementwise import SHAPES, positive, signed
from .problem import Problem, by_element, by_row


def _widths(rng) -> tuple[float, float]:
    """A width of the input and a gain of the second output."""
    return float(f"{10 ** rng.uniform(-12, 12):.3g}"), float(f"{10 ** rng.choice((0.0, rng.uniform(-6, 6))):.3g}")


def sine_and_cosine(rng) -> Problem:
    """Two outputs of the same shape, the second with a gain."""
    width, gain = _widths(rng)
    x = rng.normal(size=SHAPES[rng.integers(len(SHAPES))]) * width

    def forward(x):
        u = x / width
        return (np.sin(u), gain * np.cos(u)), u

    def backward(dy, u):
        return (dy[0] * np.cos(u) - dy[1] * gain * np.sin(u)) / width

    return Problem(
        "sin and cos", "several outputs", forward, backward,
        lambda x: (e.sin(x / mpmath.mpf(width)), gain * e.cos(x / mpmath.mpf(width))), (x,),
        (np.full(x.shape, width),), (by_element,),
    )  # fmt: skip


def mean_and_variance(rng) -> Problem:
    """Two numbers a row, one like x and one like its square."""
    x = signed(rng, (3, 4)) * 10 ** rng.uniform(-12, 12)

    def forward(x):
        centered = x - x.mean(axis=-1, keepdims=True)
        return (x.mean(axis=-1), (centered * centered).mean(axis=-1)), centered

    def backward(dy, centered):
        return (dy[0][:, None] + 2 * dy[1][:, None] * centered) / 4

    def exact(x):
        mean = x.sum(axis=-1, keepdims=True) / 4
        return mean[:, 0], ((x - mean) * (x - mean)).sum(axis=-1) / 4

    return Problem(
        "mean and variance", "several outputs", forward, backward, exact, (x,),
        (np.broadcast_to(x.std(axis=-1, keepdims=True), x.shape),), (by_row,),
    )  # fmt: skip


def product_and_quotient(rng) -> Problem:
    """x y and x / y, of two arrays at scales of their own."""
    shape = SHAPES[rng.integers(len(SHAPES))]
    x, y = (signed(rng, shape) * 10 ** rng.uniform(-6, 6) for _ in range(2))

    def backward(dy, cache):
        x, y = cache
        return dy[0] * y + dy[1] / y, dy[0] * x - dy[1] * x / (y * y)

    return Problem(
        "x y and x / y", "several outputs", lambda x, y: ((x * y, x / y), (x, y)), backward,
        lambda x, y: (x * y, x / y), (x, y), (np.abs(x), np.abs(y)), (by_element, by_element),
    )  # fmt: skip


def softmax_and_logsumexp(rng) -> Problem:
    """Outputs of two shapes."""
    width, _ = _widths(rng)
    x = signed(rng, (2, 5)) * width

    def forward(x):
        u = x / width
        largest = u.max(axis=-1, keepdims=True)
        weights = np.exp(u - largest)
        total = weights.sum(axis=-1, keepdims=True)
        return (weights / total, (largest + np.log(total))[:, 0]), weights / total

    def backward(dy, p):
        return (p * (dy[0] - (p * dy[0]).sum(axis=-1, keepdims=True)) + dy[1][:, None] * p) / width

    def exact(x):
        weights = e.exp(x / mpmath.mpf(width))
        total = weights.sum(axis=-1, keepdims=True)
        return weights / total, e.log(total)[:, 0]

    return Problem(
        "softmax and logsumexp", "several outputs", forward, backward, exact, (x,), (np.full(x.shape, width),),
        (by_row,),
    )  # fmt: skip


def root_and_power(rng) -> Problem:
    """sqrt(x) and x³: over the scales the one or the other is by far the larger."""
    x = positive(rng, SHAPES[rng.integers(len(SHAPES))]) * 10 ** rng.uniform(-6, 4)
    return Problem(
        "sqrt and cube", "several outputs", lambda x: ((np.sqrt(x), x**3), x),
        lambda dy, x: dy[0] * 0.5 / np.sqrt(x) + dy[1] * 3 * x * x, lambda x: (e.sqrt(x), x**3), (x,), (np.abs(x),),
        (by_element,),
    )  # fmt: skip


SEVERAL: dict[str, Callable[[np.random.Generator], Problem]] = {
    "sin and cos": sine_and_cosine, "mean and variance": mean_and_variance, "x y and x / y": product_and_quotient,
    "softmax and logsumexp": softmax_and_logsumexp, "sqrt and cube": root_and_power,
}  # fmt: skip
