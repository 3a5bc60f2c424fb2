"""Where the operators of a Tensor and `matmul`, `exp`, `log`, `sqrt`, `tanh` are checked."""

import numpy as np

from .case import Case, Cases


def _two_arrays(rng):
    """Broadcasting in every direction; away from 0, so that division is smooth."""

    def draw(*shape):
        return np.asarray(rng.uniform(0.5, 2.0, shape) * rng.choice((-1.0, 1.0), shape))

    return (
        Case("same shape", (draw(2, 5, 3), draw(2, 5, 3))),
        Case("b along the last axis", (draw(2, 5, 3), draw(3))),
        Case("a along the last axis", (draw(3), draw(2, 5, 3))),
        Case("axes of size 1 on both sides", (draw(2, 1, 3), draw(4, 1))),
        Case("an axis of size 1 against 2", (draw(3, 1), draw(3, 2))),
        Case("b without axes", (draw(2, 5), draw())),
        Case("strided views", (draw(3, 5, 2).T, draw(10, 3)[::-2])),
        Case("empty batch", (draw(0, 5, 3), draw(3)), zero=("b",), allow=("empty",)),
    )


def _power(rng):
    x = rng.uniform(0.5, 2.0, (2, 5, 3))
    return (
        Case("square", (x - 1.2,), {"exponent": 2}),
        Case("cube", (x - 1.2,), {"exponent": 3}),
        Case("root", (x,), {"exponent": 0.5}),
        Case("a small root", (x,), {"exponent": 0.1}),
        Case("the number itself", (x,), {"exponent": 1}),
        Case("inverse", (x,), {"exponent": -1.5}),
        Case("strided view", (rng.uniform(0.5, 2.0, (6, 5)).T[:, ::2],), {"exponent": 3}),
    )


def _elementwise_power(rng):
    """Positive bases; at 0 and below it only where both derivatives are there: at even and odd exponents from 2 on."""

    def draw(*shape):
        return np.asarray(rng.uniform(0.5, 2.0, shape))

    return (
        Case("same shape", (draw(2, 5, 3), 2 * draw(2, 5, 3) - 2)),
        Case("an exponent along the last axis", (draw(2, 5, 3), -draw(3))),
        Case("a base without axes", (draw(), draw(2, 5))),
        Case("axes of size 1 on both sides", (draw(2, 1, 3), draw(4, 1))),
        Case("an axis of size 1 against 2", (draw(3, 1), draw(3, 2))),
        Case("exponents of 0 and 1", (draw(3, 4), np.array([0.0, 1.0, 0.0, 2.5]))),
        Case("bases of 0", (np.array([[0.0], [0.7]]), np.array([2.0, 3.0, 4.0]))),
        Case("strided views", (draw(3, 5, 2).T, draw(10, 3)[::-2])),
        Case("empty batch", (draw(0, 5, 3), draw(3)), zero=("b",), allow=("empty",)),
    )


def _matmul(rng):
    def draw(*shape):
        return rng.normal(size=shape)

    return (
        Case("matrices", (draw(2, 5), draw(5, 3))),
        Case("batched", (draw(2, 4, 5), draw(2, 5, 3))),
        Case("b broadcast over the batch", (draw(2, 4, 5), draw(5, 3))),
        Case("a broadcast over the batch", (draw(4, 5), draw(2, 5, 3))),
        Case("batch axes of size 1", (draw(3, 1, 4, 5), draw(2, 5, 6))),
        Case("vector on the left", (draw(5), draw(2, 5, 3))),
        Case("vector on the right", (draw(2, 4, 5), draw(5))),
        Case("two vectors", (draw(5), draw(5))),
        Case("strided views", (draw(5, 2).T, draw(10, 6)[::-2, ::2])),
        Case("empty batch", (draw(0, 4, 5), draw(5, 3)), zero=("b",), allow=("empty",)),
    )


def _elementwise(rng):
    return (
        Case("(B, T, C)", (rng.uniform(0.3, 2.5, (2, 5, 3)),)),
        Case("one number", (np.array(0.7),)),
        Case("strided view", (rng.uniform(0.3, 2.5, (3, 10, 2)).T[:, ::-2],)),
        Case("empty batch", (rng.uniform(0.3, 2.5, (0, 5, 3)),), allow=("empty",)),
    )


CASES: dict[str, Cases] = {
    "add": _two_arrays,
    "subtract": _two_arrays,
    "multiply": _two_arrays,
    "divide": _two_arrays,
    "power": _power,
    "elementwise_power": _elementwise_power,
    "matmul": _matmul,
    "negative": _elementwise,
    "exp": _elementwise,
    "log": _elementwise,
    "sqrt": _elementwise,
    "tanh": _elementwise,
}
