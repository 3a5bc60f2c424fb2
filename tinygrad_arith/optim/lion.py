"""Lion over one flat buffer: steps of one size, in the direction of a sign."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..backend import array_module
from ..nn import FlatParameters
from ..ops.registry import Operation, not_differentiable
from ..options.option import option
from .checks import betas_of, refuse_others
from .optimizer import FlatOptimizer
from .options import KIND_HELP, SHARE, OptimizerOptions, peak_rate


class LionRates(NamedTuple):
    """The numbers of one update: Python's, or on a GPU, for those in `Lion.changing`, arrays () that lie there."""

    rate: Any
    kept: Any  # 1 - rate decay
    gradient_scale: Any  # multiplies the gradients first: clipping without a pass of its own
    beta1: float
    beta2: float


def lion_update(values, gradients, first, decayed, rates, working=None):  # arrays (N,); the first `decayed` decay
    """One update of all parameters and of the moment, in place: the formula of `Lion`. `working` becomes a copy."""
    xp = array_module(values)
    gradients = rates.gradient_scale * gradients  # (N,)
    direction = rates.beta1 * first  # (N,)
    direction += (1.0 - rates.beta1) * gradients
    values[:decayed] *= rates.kept
    values -= rates.rate * xp.sign(direction)
    first *= rates.beta2
    first += (1.0 - rates.beta2) * gradients
    if working is not None:
        working[...] = values


# The name that faster ones register for
LION = Operation("lion", lion_update, not_differentiable, ("values",), wide=False)


@dataclass(frozen=True)
class LionOptions(OptimizerOptions):
    """The options of Lion."""

    kind: str = option("lion", KIND_HELP, flag="optimizer")
    learning_rate: float = peak_rate(6e-4)
    weight_decay: float = option(0.1, "decoupled decay of the weights", range=(0.0, None), sizes=True)
    beta1: float = option(0.9, "share of Lion's moment, beside the gradient, in the sign", range=SHARE, sizes=True)
    beta2: float = option(0.95, "decay of Lion's moment per step", range=SHARE, sizes=True)

    family = "lion"


class Lion(FlatOptimizer):
    """Evolved sign momentum. Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023,
    arXiv 2302.06675, algorithm 2.

        c = β₁ m + (1 - β₁) g
        p = p - rate sign(c) - rate decay p
        m = β₂ m + (1 - β₂) g                      m = 0 before the first step; sign(0) = 0

    Every parameter moves by the whole rate at every step, so the rate is to be 3 to 10 times smaller than AdamW's, and
    the decay as many times larger. The paper's β₂ is 0.99; for runs of a few hundred steps an average over 100 is too
    long (docs/optimizers.md), so here it is 0.95 unless given. One array of state; nothing is corrected for its start,
    which a sign does not see.

    Decay applies to the parameters that want it (matrices), not to biases and norm scales: they come second in the
    flat buffer. With `decay_all` it applies to all of them.
    """

    operation = LION
    changing = ("rate", "kept")
    options = LionOptions
    state_names = ("first_moment",)

    def __init__(
        self,
        flat: FlatParameters,
        *,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
        decay_all: bool = False,
        **others: Any,
    ):
        refuse_others("Lion", others, "betas, weight_decay, decay_all")
        super().__init__(flat, weight_decay, decay_all)
        self.betas = betas_of("Lion", betas)
        self.first_moment = self.zeros()  # (N,)

    @classmethod
    def from_options(cls, options: LionOptions, flat: FlatParameters) -> "Lion":
        """The optimizer that the options describe, over the flat parameters of a model."""
        return cls(
            flat,
            betas=(options.beta1, options.beta2),
            weight_decay=options.weight_decay,
            decay_all=options.decay_biases,
        )

    def rates(self, learning_rate: float) -> LionRates:
        """See `FlatOptimizer`."""
        beta1, beta2 = self.betas
        kept = 1.0 - learning_rate * self.weight_decay
        return LionRates(rate=learning_rate, kept=kept, gradient_scale=1.0, beta1=beta1, beta2=beta2)

    def arguments(self) -> dict[str, Any]:
        """See `FlatOptimizer`."""
        return {"first": self.first_moment}
