"""AdamW over one flat buffer."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..backend import array_module
from ..nn import FlatParameters
from ..ops.registry import Operation, not_differentiable
from ..options.option import option
from .checks import betas_of, not_negative, refuse_others
from .optimizer import FlatOptimizer
from .options import KIND_HELP, SHARE, OptimizerOptions


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


@dataclass(frozen=True)
class AdamWOptions(OptimizerOptions):
    """The options of AdamW."""

    kind: str = option("adamw", KIND_HELP, flag="optimizer")
    beta1: float = option(0.9, "decay of AdamW's first moment per step", range=SHARE, sizes=True)
    beta2: float = option(0.95, "decay of AdamW's second moment per step", range=SHARE, sizes=True)
    eps: float = option(1e-8, "added to the root of AdamW's second moment", range=(1e-30, None))

    family = "adamw"


class AdamW(FlatOptimizer):
    """Adam with decoupled weight decay. Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019,
    arXiv 1711.05101, algorithm 2.

        m = β₁ m + (1 - β₁) g                      v = β₂ v + (1 - β₂) g²
        p = p - rate (m / (1 - β₁ᵗ)) / (sqrt(v / (1 - β₂ᵗ)) + eps) - rate decay p

    The paper multiplies the decay by the schedule alone; here, as in PyTorch, by the whole rate, peak included.

    Decay applies to the parameters that want it (matrices), not to biases and norm scales: they come second in the
    flat buffer. With `decay_all` it applies to all of them.
    """

    operation = ADAMW
    changing = ("mean_scale", "spread_scale", "kept")
    options = AdamWOptions
    state_names = ("first_moment", "second_moment")

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
        refuse_others("AdamW", others, "betas, eps, weight_decay, decay_all")
        super().__init__(flat, weight_decay, decay_all)
        self.betas, self.eps = betas_of("AdamW", betas), not_negative("AdamW", "eps", eps)
        self.first_moment, self.second_moment = self.zeros(), self.zeros()  # (N,), (N,)

    @classmethod
    def from_options(cls, options: AdamWOptions, flat: FlatParameters) -> "AdamW":
        """The optimizer that the options describe, over the flat parameters of a model."""
        return cls(
            flat,
            betas=(options.beta1, options.beta2),
            eps=options.eps,
            weight_decay=options.weight_decay,
            decay_all=options.decay_biases,
        )

    def rates(self, learning_rate: float) -> Rates:
        """See `FlatOptimizer`."""
        beta1, beta2 = self.betas
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

    def arguments(self) -> dict[str, Any]:
        """See `FlatOptimizer`."""
        return {"first": self.first_moment, "second": self.second_moment}
