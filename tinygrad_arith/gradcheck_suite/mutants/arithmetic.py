"""Wrong backwards of the two-array operations, power, matmul, and the element-wise functions.

Caches: add and subtract a_shape, b_shape; multiply, divide and matmul a, b; power x, exponent; elementwise_power a, b
and the output y; the functions `saved`
(input or output, whichever the derivative is written in).
"""

import numpy as np

from .activations import ENDINGS
from .common import changed, misread, negated, one_element_wrong, ones_cotangent, scaled, swapped, with_cache


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

MUTANTS = {
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
    "negative": {"passes dy unchanged": lambda backward, dy, cache: dy.copy(), **ENDINGS},
    "exp": {
        "without the factor exp(x)": lambda backward, dy, cache: dy.copy(),
        "divided by exp(x)": lambda backward, dy, cache: dy / cache.saved,
        "exp of the output": lambda backward, dy, cache: dy * np.exp(cache.saved),
        **ENDINGS,
    },
    "log": {
        "times x": lambda backward, dy, cache: dy * cache.saved,
        "without 1/x": lambda backward, dy, cache: dy.copy(),
        "1/x squared": lambda backward, dy, cache: dy / cache.saved**2,
        **ENDINGS,
    },
    "sqrt": {
        "without the 1/2": lambda backward, dy, cache: dy / cache.saved,
        "times the root": lambda backward, dy, cache: 0.5 * dy * cache.saved,
        "divided by x, not its root": lambda backward, dy, cache: 0.5 * dy / cache.saved**2,
        **ENDINGS,
    },
    "tanh": {
        "1 - y": lambda backward, dy, cache: dy * (1.0 - cache.saved),
        "1 + y squared": lambda backward, dy, cache: dy * (1.0 + cache.saved**2),
        "y squared": lambda backward, dy, cache: dy * cache.saved**2,
        **ENDINGS,
    },
}
