"""Is the training at the edge of stability? The sharpness that AdamW sees, from multiplications by the Hessian.

AdamW moves the weights by rate * P⁻¹ m, with m the mean gradient and P = diag(sqrt(v̂) + eps). On a quadratic with a
fixed P that is stable only while the largest eigenvalue of P^(-1/2) H P^(-1/2) stays below

    (2 + 2 β₁) / ((1 - β₁) rate)        38 / rate at β₁ = 0.9

(Cohen et al. 2022, "Adaptive gradient methods at the edge of stability", arXiv 2207.14484, section 3). The eigenvalue
is found by power iteration; the Hessian H times a vector is the difference of two gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_arith.backend import array_module, on_device_of

FIRST_ITERATIONS, ITERATIONS = 40, 8  # from a random direction; from the one found last time
REACH = 1e-4  # length of the displacement in P's coordinates: about a fiftieth of a training step of the candle run


def edge(rate: float, beta1: float) -> float:
    """The sharpness above which AdamW is unstable on a quadratic."""
    return (2 + 2 * beta1) / ((1 - beta1) * rate) if rate else math.inf


class Sharpness:
    """Measures the largest eigenvalue of P^(-1/2) H P^(-1/2), where the weights are; they come back to the bit.

    flat:     the model's FlatParameters
    backward: leaves the gradient of the loss, always on the same examples, in `flat.gradients`
    """

    def __init__(self, flat: Any, backward: Callable[[], Any]):
        self.flat, self.backward = flat, backward
        self.direction: Any = None  # the eigenvector that was last found, (N,): where the next search begins

    def measure(self, preconditioner: Any) -> float:
        """The eigenvalue of the largest magnitude, which may be negative; `preconditioner`: the diagonal of P, (N,)."""
        xp = array_module(self.flat.values)
        here, to_weights = self.flat.values.copy(), 1.0 / xp.sqrt(preconditioner)  # (N,), (N,)
        direction, iterations = self.direction, ITERATIONS
        if direction is None:
            drawn = np.random.default_rng(0).standard_normal(here.size)
            direction, iterations = on_device_of(here, drawn.astype(here.dtype)), FIRST_ITERATIONS
        eigenvalue = 0.0
        for _ in range(iterations):
            direction = direction / xp.linalg.norm(direction)
            displacement = REACH * to_weights * direction  # (N,)
            change = self.gradient(here + displacement) - self.gradient(here - displacement)  # (N,)
            product = to_weights * change / (2 * REACH)  # (N,)
            eigenvalue, direction = float(direction @ product), product
        self.direction = direction
        self.set_values(here)
        return eigenvalue

    def gradient(self, values: Any) -> Any:
        """The gradient, (N,), at these weights."""
        self.set_values(values)
        self.backward()
        return self.flat.gradients.copy()

    def set_values(self, values: Any) -> None:
        """Makes these the weights."""
        self.flat.values[...] = values
        self.flat.mark_written()
