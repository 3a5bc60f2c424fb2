"""Functions of k x, which round k x before anything else; elements whose own outputs differ by many powers of ten; even
functions at 0."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np

from .problem import Problem, by_element

SHAPES = ((3,), (5,), (2, 3), (3, 4))
OF_K_X: dict[str, tuple[Callable, Callable, Callable]] = {  # NumPy, the slope by k x, mpmath
    "sin": (np.sin, np.cos, mpmath.sin),
    "exp": (np.exp, np.exp, mpmath.exp),
    "tanh": (np.tanh, lambda u: 1 - np.tanh(u) ** 2, mpmath.tanh),
}
EVEN: dict[str, tuple[Callable, Callable, Callable]] = {
    "x^2": (lambda x: x * x, lambda x: 2 * x, lambda x: x * x),
    "cos": (np.cos, lambda x: -np.sin(x), mpmath.cos),
    "x^3": (lambda x: x**3, lambda x: 3 * x * x, lambda x: x**3),
    "sqrt(1 + x^2)": (
        lambda x: np.sqrt(1 + x * x), lambda x: x / np.sqrt(1 + x * x), lambda x: mpmath.sqrt(1 + x * x),
    ),
}  # fmt: skip


def _of_k_x(name: str) -> Callable[[np.random.Generator], Problem]:
    """sin(k x) for k from 10 to 100; exp(k x) for k from 2 to 8; tanh(k (x - 1)) beside 1."""
    f, slope, exact = OF_K_X[name]
    low, high = {"sin": (1, 2), "exp": (0.3, 0.9), "tanh": (1, 2)}[name]
    shift = 1.0 if name == "tanh" else 0.0

    def drawn(rng: np.random.Generator) -> Problem:
        k = float(f"{10 ** rng.uniform(low, high):.3g}")
        x = rng.normal(size=SHAPES[rng.integers(len(SHAPES))])
        if name == "exp":
            x = rng.uniform(-2.5, 2.5, x.shape)
        if name == "tanh":
            x = 1 + x / k
        return Problem(
            f"{name}(k x)", "function of k x", lambda x: (f(k * (x - shift) if shift else k * x), x),
            lambda dy, x: dy * k * slope(k * (x - shift)),
            lambda x: (np.frompyfunc(lambda number: exact(mpmath.mpf(k) * (number - shift)), 1, 1)(x),), (x,),
            (np.full(x.shape, 1 / k),), (by_element,),
        )  # fmt: skip

    return drawn


def _even(name: str) -> Callable[[np.random.Generator], Problem]:
    """One or two elements exactly 0."""
    f, slope, exact = EVEN[name]

    def drawn(rng: np.random.Generator) -> Problem:
        x = rng.normal(size=SHAPES[rng.integers(len(SHAPES))])
        at = rng.choice(x.size, rng.integers(1, 3), replace=False)
        x.flat[at] = 0.0
        share = float(10 ** rng.uniform(-3, 0))

        def off(dy, x):
            return dy * np.where(x == 0, share, slope(x))

        return Problem(
            f"{name} at 0", "at rest", lambda x: (f(x), x), lambda dy, x: dy * slope(x),
            lambda x: (np.frompyfunc(exact, 1, 1)(x),), (x,), (np.where(x == 0, 1.0, np.minimum(np.abs(x), 1.0)),),
            (by_element,), faults={f"{share:.3g} at 0": off},
        )  # fmt: skip

    return drawn


FAST: dict[str, Callable[[np.random.Generator], Problem]] = {
    **{f"{name}(k x)": _of_k_x(name) for name in OF_K_X},
    "exp(k x), 2": _of_k_x("exp"),
    **{f"{name} at 0": _even(name) for name in EVEN},
}
