"""The operators of a Tensor and `matmul`: where they are checked, and wrong backwards.

Caches: add and subtract a_shape, b_shape; multiply, divide and matmul a, b; power x, exponent; elementwise_power a, b
and the output y.
"""

import numpy as np

from ..case import Case, Cases
from ..mutant import (
    ENDINGS,
    Mutant,
    changed,
    misread,
    negated,
    one_element_wrong,
    ones_cotangent,
    scaled,
    swapped,
    with_cache,
)


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


CASES: dict[str, Cases] = {
    "add": _two_arrays,
    "subtract": _two_arrays,
    "multiply": _two_arrays,
    "divide": _two_arrays,
    "power": _power,
    "elementwise_power": _elementwise_power,
    "matmul": _matmul,
}


def _first_along_broadcast(position):
    """Where an input was broadcast, its gradient is one copy's instead of the sum of all."""

    def mutant(backward, dy, cache):
        full = tuple(np.shape(x) for x in cache[:2]) if hasattr(cache, "a") else tuple(cache)
        gradients, shape = list(backward(dy, cache)), full[position]
        kept = np.zeros_like(dy)
        where = [slice(None)] * dy.ndim
        for axis in range(dy.ndim):
            own = axis - (dy.ndim - len(shape))
            if own < 0 or shape[own] != dy.shape[axis]:
                where[axis] = slice(0, 1)
        kept[tuple(where)] = dy[tuple(where)]
        gradients[position] = backward(kept, cache)[position]
        return tuple(gradients)

    return mutant


def _divide(position, **changes):
    """One gradient of the division with a wrong power of b."""

    def mutant(backward, dy, cache):
        gradients = list(backward(dy, cache))
        gradients[position] = backward(changes["dy"](dy, cache), cache)[position]
        return tuple(gradients)

    return mutant


def _powers(position, change):
    """One gradient of elementwise_power with something else in place of dy."""

    def mutant(backward, dy, cache):
        gradients = list(backward(dy, cache))
        gradients[position] = backward(change(dy, cache), cache)[position]
        return tuple(gradients)

    return mutant


def _power_without_exponent(backward, dy, cache):
    return backward(dy, cache) / cache.exponent


def _power_not_lowered(backward, dy, cache):
    return dy * cache.exponent * cache.x**cache.exponent


def _misread_factor(name):
    """A matrix product with one factor not transposed; vectors have nothing to transpose."""

    def change(factor):
        return factor.swapaxes(-1, -2).reshape(factor.shape) if factor.ndim > 1 else factor

    return with_cache(**{name: change})


_BOTH = {
    "da with the wrong sign": negated(0),
    "db with the wrong sign": negated(1),
    "dy not used": ones_cotangent,
    "da scaled by 1.001": scaled(0),
    "one element of db scaled by 1.001": one_element_wrong(1),
}


_BROADCAST = {
    "da without the sum over its copies": _first_along_broadcast(0),
    "db without the sum over its copies": _first_along_broadcast(1),
    **_BOTH,
}


MUTANTS: dict[str, dict[str, Mutant]] = {
    "add": _BROADCAST,
    "subtract": _BROADCAST,
    "multiply": {
        "da times a instead of b": with_cache(b=lambda b: b * b),
        "db squared": with_cache(a=lambda a: a * a),
        **_BROADCAST,
    },
    "divide": {
        "da times b instead of divided by it": _divide(0, dy=lambda dy, cache: dy * cache.b * cache.b),
        "db divided by b once only": _divide(1, dy=lambda dy, cache: dy * cache.b),
        "db without its factor a": _divide(1, dy=lambda dy, cache: dy / cache.a),
        **_BROADCAST,
    },
    "power": {
        "without the exponent in front": _power_without_exponent,
        "the exponent is not lowered by 1": _power_not_lowered,
        "the exponent lowered by 2": lambda backward, dy, cache: backward(dy, cache) / cache.x,
        **ENDINGS,
    },
    "elementwise_power": {
        "da without the exponent in front": _powers(0, lambda dy, cache: dy / np.where(cache.b == 0, 1, cache.b)),
        "the exponent is not lowered by 1": _powers(0, lambda dy, cache: dy * cache.a),
        "db without the logarithm": _powers(1, lambda dy, cache: dy / np.log(np.where(cache.a == 0, 2.0, cache.a))),
        "db without the power": _powers(1, lambda dy, cache: dy / np.where(cache.y == 0, 1.0, cache.y)),
        "db with the logarithm of the output": _powers(1, lambda dy, cache: dy * cache.b),
        **_BROADCAST,
    },
    "matmul": {
        "b not transposed in da": _misread_factor("b"),
        "a not transposed in db": _misread_factor("a"),
        "da read with its axes swapped": changed(0, lambda da: misread(da)),
        "da and db swapped": swapped(0, 1),
        **_BOTH,
    },
}
