"""AdamW over one flat buffer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module, on_device_of, to_numpy
from ..backend.deferred import raise_deferred
from ..nn import FlatParameters
from ..ops.registry import Operation, choose, not_differentiable
from .checks import refuse_others, require_flat, require_settings


class Rates(NamedTuple):
    """The numbers of one update: Python's, or on a GPU arrays () that lie there."""

    beta1: Any
    beta2: Any
    mean_scale: Any  # rate / (1 - β₁ᵗ)
    spread_scale: Any  # 1 / sqrt(1 - β₂ᵗ)
    eps: Any
    kept: Any  # 1 - rate decay
    gradient_scale: Any  # multiplies the gradients first: clipping without a pass of its own


def adamw_update(
    values, gradients, first, second, decayed, rates, working=None
):  # arrays (N,); the first `decayed` elements decay
    """One update of all parameters and moments, in place: the formula of `AdamW`. `working` becomes a copy of them."""
    xp = array_module(values)
    gradients = rates.gradient_scale * gradients  # (N,)
    first *= rates.beta1
    first += (1.0 - rates.beta1) * gradients
    second *= rates.beta2
    second += (1.0 - rates.beta2) * (gradients * gradients)
    values[:decayed] *= rates.kept
    values -= rates.mean_scale * first / (xp.sqrt(second) * rates.spread_scale + rates.eps)
    if working is not None:
        working[...] = values


# The name that faster ones register for
ADAMW = Operation("adamw", adamw_update, not_differentiable, ("values",), wide=False)


class AdamW:
    """Adam with decoupled weight decay. Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, alg. 2.

        m = β₁ m + (1 - β₁) g                      v = β₂ v + (1 - β₂) g²
        p = p - rate (m / (1 - β₁ᵗ)) / (sqrt(v / (1 - β₂ᵗ)) + eps) - rate decay p

    The paper multiplies the decay by the schedule alone; here, as in PyTorch, by the whole rate, peak included.

    Decay applies to the parameters that want it (matrices), not to biases and norm scales: they come second in the
    flat buffer. With `decay_all` it applies to all of them.
    """

    def __init__(
        self,
        flat: FlatParameters,
        *,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        decay_all: bool = False,
        **others: Any,
    ):
        refuse_others(others)
        require_flat(flat, "AdamW(model.flat)")
        require_settings(betas, eps, weight_decay)
        self.flat = flat
        self.decay_all = decay_all
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        values = flat.values
        self.first_moment, self.second_moment = (array_module(values).zeros_like(values) for _ in range(2))  # (N,) each
        self.steps = 0

    def step(self, learning_rate: float, gradient_scale: float = 1.0) -> None:
        """One update of all parameters from their gradients times `gradient_scale`, in place.

        Raises ParameterError where the model would not learn from it: `FlatParameters.settle` says when. A step that
        raises does not count.
        """
        with self.counted():
            self.update(self.next_rates(learning_rate)._replace(gradient_scale=float(gradient_scale)))

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Inside, `next_rates` begins a step; if an error ends it, it does not count."""
        before = self.steps
        try:
            yield
        except BaseException:
            self.steps = before
            raise

    def next_rates(self, learning_rate: float) -> Rates:
        """The numbers of the next update, which counts as done.

        Raises ParameterError as `step` does, and IndexError for an id that a GPU met in an earlier step.
        """
        raise_deferred()
        self.flat.settle()
        learning_rate = float(learning_rate)  # a NumPy scalar would widen float32
        beta1, beta2 = self.betas
        self.steps += 1
        return Rates(
            beta1=beta1,
            beta2=beta2,
            # Both moments start at zero; dividing by 1 - βᵗ takes the start out of the average.
            mean_scale=learning_rate / (1.0 - beta1**self.steps),
            spread_scale=1.0 / (1.0 - beta2**self.steps) ** 0.5,
            eps=self.eps,
            kept=1.0 - learning_rate * self.weight_decay,
            gradient_scale=1.0,
        )

    def update(self, rates: Rates) -> None:
        """One update with these numbers, of the parameters and of the copy that the model computes with."""
        flat = self.flat
        values = flat.values
        arguments = {
            "values": values,
            "gradients": flat.gradients,
            "first": self.first_moment,
            "second": self.second_moment,
            "decayed": len(values) if self.decay_all else flat.decayed,
            "rates": rates,
        }
        if flat.working is not values:
            arguments["working"] = flat.working
        update, _ = choose(ADAMW, arguments)
        update(**arguments)
        flat.mark_written(working=True)

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
            getattr(self, name)[...] = on_device_of(self.first_moment, state[name])
        self.steps = int(state["steps"])
