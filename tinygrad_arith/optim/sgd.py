"""Stochastic gradient descent with momentum, over one flat buffer."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..nn import FlatParameters
from ..ops.registry import Operation, not_differentiable
from ..options.option import option
from .checks import refuse_others, share, truth
from .optimizer import FlatOptimizer
from .options import KIND_HELP, SHARE, OptimizerOptions, peak_rate


class SGDRates(NamedTuple):
    """The numbers of one update: Python's, or on a GPU, for those in `SGD.changing`, arrays () that lie there."""

    rate: Any
    kept: Any  # 1 - rate decay, or 1 where the decay is coupled
    fresh: Any  # the share of the gradient in the velocity: 1 - dampening, at the first step 1
    gradient_scale: Any  # multiplies the gradients first: clipping without a pass of its own
    momentum: float
    penalty: float  # the decay where it is coupled, or 0


def sgd_update(
    values, gradients, velocity, decayed, rates, nesterov=False, working=None
):  # arrays (N,); the first `decayed` elements decay
    """One update of all parameters and of the velocity, in place: the formula of `SGD`.

    velocity: None without momentum
    working:  becomes a copy of the values
    """
    update = rates.gradient_scale * gradients  # (N,)
    if rates.penalty:
        update[:decayed] += rates.penalty * values[:decayed]
    if velocity is not None:
        velocity *= rates.momentum
        velocity += rates.fresh * update
        update = update + rates.momentum * velocity if nesterov else velocity  # (N,)
    values[:decayed] *= rates.kept
    values -= rates.rate * update
    if working is not None:
        working[...] = values


# The name that faster ones register for
SGD_UPDATE = Operation("sgd", sgd_update, not_differentiable, ("values",), wide=False)


@dataclass(frozen=True)
class SGDOptions(OptimizerOptions):
    """The options of SGD."""

    kind: str = option("sgd", KIND_HELP, flag="optimizer")
    learning_rate: float = peak_rate(0.1)
    weight_decay: float = option(
        0.0, "decay of the weights: decoupled, unless --coupled-decay", range=(0.0, None), sizes=True
    )
    momentum: float = option(0.9, "what the velocity keeps of itself in a step; 0: no velocity", range=SHARE)
    dampening: float = option(0.0, "share of the gradient that the velocity leaves out, but at step 1", range=SHARE)
    nesterov: bool = option(False, "step by the gradient plus momentum times velocity, instead of by the velocity")
    coupled_decay: bool = option(
        False,
        "add --weight-decay times the weights to their gradient, as PyTorch's SGD does, instead of shrinking them",
    )

    family = "sgd"

    def check(self) -> None:
        """What Nesterov's momentum needs."""
        if self.nesterov and (self.momentum == 0.0 or self.dampening > 0.0):
            raise ValueError(
                f"--nesterov: needs --momentum above 0 and --dampening 0, not {self.momentum} and {self.dampening}"
            )


class SGD(FlatOptimizer):
    """Gradient descent with momentum, as in `torch.optim.SGD`. Sutskever, Martens, Dahl, Hinton: "On the importance of
    initialization and momentum in deep learning", 2013, https://proceedings.mlr.press/v28/sutskever13.html, section 2,
    with the rate outside the velocity.

        v = momentum v + (1 - dampening) g         v = g at the first step, however large the dampening
        p = p - rate v                             plain
        p = p - rate (g + momentum v)              with nesterov

    Without momentum (0) there is no v: p = p - rate g.

    Weight decay is decoupled unless said otherwise, as in `AdamW`: the weights shrink by rate times decay, and neither
    g nor v knows of it (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, arXiv 1711.05101,
    algorithm 1; the rate multiplies the decay as well, as in PyTorch's AdamW). With `coupled_decay`, as in PyTorch's
    SGD, decay times p is added to g first: the gradient of the penalty decay/2 p². Without momentum both are the same.

    Decay applies to the parameters that want it (matrices), not to biases and norm scales: they come second in the
    flat buffer. With `decay_all` it applies to all of them.
    """

    operation = SGD_UPDATE
    changing = ("rate", "kept", "fresh")
    options = SGDOptions
    state_names = ("velocity",)

    def __init__(
        self,
        flat: FlatParameters,
        *,
        momentum: float = 0.9,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        coupled_decay: bool = False,
        decay_all: bool = False,
        **others: Any,
    ):
        refuse_others("SGD", others, "momentum, dampening, nesterov, weight_decay, coupled_decay, decay_all")
        super().__init__(flat, weight_decay, decay_all)
        momentum, dampening = share("SGD", "momentum", momentum), share("SGD", "dampening", dampening)
        nesterov, coupled_decay = truth("SGD", "nesterov", nesterov), truth("SGD", "coupled_decay", coupled_decay)
        if nesterov and not (momentum > 0.0 and dampening == 0.0):
            raise ValueError(f"SGD: nesterov needs a momentum above 0 and no dampening, not {momentum} and {dampening}")
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov
        self.coupled_decay = coupled_decay
        self.velocity = self.zeros() if momentum > 0.0 else None  # (N,)

    @classmethod
    def from_options(cls, options: SGDOptions, flat: FlatParameters) -> "SGD":
        """The optimizer that the options describe, over the flat parameters of a model."""
        return cls(
            flat,
            momentum=options.momentum,
            dampening=options.dampening,
            nesterov=options.nesterov,
            coupled_decay=options.coupled_decay,
            weight_decay=options.weight_decay,
            decay_all=options.decay_biases,
        )

    @classmethod
    def arrays_of(cls, options: SGDOptions) -> tuple[str, ...]:
        """See `FlatOptimizer`."""
        return cls.state_names if options.momentum > 0.0 else ()

    def rates(self, learning_rate: float) -> SGDRates:
        """See `FlatOptimizer`."""
        return SGDRates(
            rate=learning_rate,
            kept=1.0 if self.coupled_decay else 1.0 - learning_rate * self.weight_decay,
            fresh=1.0 if self.steps == 1 else 1.0 - self.dampening,
            gradient_scale=1.0,
            momentum=self.momentum,
            penalty=self.weight_decay if self.coupled_decay else 0.0,
        )

    def arguments(self) -> dict[str, Any]:
        """See `FlatOptimizer`."""
        return {"velocity": self.velocity, "nesterov": self.nesterov}
