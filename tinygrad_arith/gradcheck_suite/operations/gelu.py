"""`gelu` (cache: x, tanh) and `gelu_exact` (x): where they are checked, and wrong backwards."""

import math

import numpy as np

from ..case import Case, Cases
from ..mutant import ENDINGS, Mutant


def _activation(rng):
    return (
        Case("(B, T, C)", (2 * rng.normal(size=(2, 5, 3)),)),
        Case("large values", (np.array([[-30.0, -6.0, -2.5], [0.7, 5.5, 40.0]]),)),
        Case("strided view", (rng.normal(size=(3, 10, 2)).T[:, ::-2],)),
        Case("empty batch", (rng.normal(size=(0, 5, 3)),), allow=("empty",)),
    )


CASES: dict[str, Cases] = {"gelu": _activation, "gelu_exact": _activation}


SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)


CUBIC = 0.044715


PEAK = math.sqrt(0.5 / math.pi)  # of the normal density


def _gelu(half=0.5, cubic=3.0, square=True, chain=True):
    """A mutant of `gelu` with a slip in one factor."""

    def mutant(backward, dy, cache):
        x, tanh = cache.x, cache.tanh
        du = SQRT_2_OVER_PI * (1.0 + cubic * CUBIC * x * x) if chain else 1.0
        dtanh = 1.0 - (tanh * tanh if square else tanh)
        return dy * (0.5 * (1.0 + tanh) + half * x * dtanh * du)

    return mutant


def _first_term(backward, dy, cache):
    """The product rule without its second term."""
    return dy * (0.5 * (1.0 + cache.tanh))


def _density(x, power=0.5, factor=PEAK):
    return factor * np.exp(-power * x * x)


def _gelu_exact_of_tanh_form(backward, dy, cache):
    """The other form's derivative: the two differ by a thousandth or so."""
    x = cache.x
    tanh = np.tanh(SQRT_2_OVER_PI * (x + CUBIC * x * x * x))
    du = SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * x * x)
    return dy * (0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * du)


def _gelu_of_exact_form(backward, dy, cache):
    x = cache.x
    cdf = np.array([0.5 * math.erfc(-value * math.sqrt(0.5)) for value in x.ravel()]).reshape(x.shape)
    return dy * (cdf + x * _density(x)).astype(dy.dtype)


def _density_off(power=0.5, factor=PEAK, weight=True):
    """A mutant of `gelu_exact`: true minus the right density term plus a wrong one."""

    def mutant(backward, dy, cache):
        x = cache.x
        wrong = (x if weight else 1.0) * _density(x, power, factor)
        return backward(dy, cache) + dy * (wrong - x * _density(x))

    return mutant


MUTANTS: dict[str, dict[str, Mutant]] = {
    "gelu": {
        "without the derivative of the tanh": _first_term,
        "tanh' = 1 - tanh": _gelu(square=False),
        "without the inner derivative": _gelu(chain=False),
        "x^3 differentiated to x^2": _gelu(cubic=1.0),
        "without the 1/2 in the second term": _gelu(half=1.0),
        "the derivative of the exact form": _gelu_of_exact_form,
        **ENDINGS,
    },
    "gelu_exact": {
        "without the density term": _density_off(factor=0.0),
        "the density without the 1/2 in its exponent": _density_off(power=1.0),
        "the density without its normalisation": _density_off(factor=1.0),
        "the density term without its factor x": _density_off(weight=False),
        "the derivative of the tanh form": _gelu_exact_of_tanh_form,
        **ENDINGS,
    },
}
