"""AdamW over one flat buffer."""

from typing import Any

import numpy as np

from ..backend import array_module, to_numpy
from ..nn import FlatParameters


class AdamW:
    """Adam with decoupled weight decay. Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, alg. 2.

        m = β₁ m + (1 - β₁) g                      v = β₂ v + (1 - β₂) g²
        p = p - rate (m / (1 - β₁ᵗ)) / (sqrt(v / (1 - β₂ᵗ)) + eps) - rate decay p

    The paper multiplies the decay by the schedule alone; here, as in PyTorch, by the whole rate, peak included.

    Decay applies to the parameters that want it (matrices), not to biases and norm scales: they come second in the
    flat buffer.
    """

    def __init__(
        self,
        flat: FlatParameters,
        *,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        self.flat = flat
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        xp = array_module(flat.values)
        self.first_moment = xp.zeros_like(flat.values)  # (N,)
        self.second_moment = xp.zeros_like(flat.values)  # (N,)
        self.steps = 0

    def step(self, learning_rate: float) -> None:
        """One update of all parameters from their gradients, in place."""
        xp = array_module(self.flat.values)
        beta1, beta2 = self.betas
        values, gradients = self.flat.values, self.flat.gradients  # (N,)
        self.steps += 1
        self.first_moment *= beta1
        self.first_moment += (1.0 - beta1) * gradients
        self.second_moment *= beta2
        self.second_moment += (1.0 - beta2) * (gradients * gradients)
        # Both moments start at zero; dividing by 1 - βᵗ takes the start out of the average.
        mean_scale = learning_rate / (1.0 - beta1**self.steps)
        spread_scale = 1.0 / (1.0 - beta2**self.steps) ** 0.5
        values[: self.flat.decayed] *= 1.0 - learning_rate * self.weight_decay
        values -= mean_scale * self.first_moment / (xp.sqrt(self.second_moment) * spread_scale + self.eps)
        self.flat.mark_written()

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the moments, (N,) each, and the number of steps taken, ()."""
        return {
            "first_moment": to_numpy(self.first_moment).copy(),
            "second_moment": to_numpy(self.second_moment).copy(),
            "steps": np.asarray(self.steps, dtype=np.int64),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave. Raises ValueError for moments of another length."""
        for name in ("first_moment", "second_moment"):
            if tuple(state[name].shape) != tuple(self.first_moment.shape):
                raise ValueError(f"{name}: stored for {state[name].shape} parameters, here {self.first_moment.shape}")
            getattr(self, name)[...] = state[name]
        self.steps = int(state["steps"])
