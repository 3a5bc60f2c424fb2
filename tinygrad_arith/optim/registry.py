"""The kinds of optimizers, and the options of AdamW with its learning rate over the steps."""

from dataclasses import dataclass
from typing import Any

from ..options.kinds import Kinds
from ..options.option import Options, option
from .adamw import AdamW

OPTIMIZERS = Kinds("optimizer", "", {"adamw": "tinygrad_arith.optim.registry:AdamWKind"})


@dataclass(frozen=True)
class AdamWOptions(Options):
    """AdamW with decoupled weight decay, clipping by the global norm, and the learning rate over the steps."""

    kind: str = option("adamw", "the optimizer", choices=("adamw",))
    learning_rate: float = option(2e-3, "peak learning rate", range=(0.0, None))
    beta1: float = option(0.9, "decay of AdamW's first moment per step", range=(0.0, 0.999999))
    beta2: float = option(0.95, "decay of AdamW's second moment per step", range=(0.0, 0.999999))
    eps: float = option(1e-8, "added to the root of AdamW's second moment", range=(1e-30, None))
    weight_decay: float = option(0.01, "decoupled decay of the weights", range=(0.0, None))
    decay_biases: bool = option(False, "decay biases and norm scales too")
    train_biases: bool = option(True, "off: biases and norm scales keep what they start with")
    clip: float = option(1.0, "gradients are scaled down to this global norm; 0: never", range=(0.0, None))
    schedule: str = option("cosine", "learning rate after the warm-up", choices=("cosine", "constant"))
    warmup: int = option(
        50,
        "steps over which the learning rate rises from 0 to its peak; if not given and longer than --steps, as large a "
        "part of them as in the preset",
        range=(0, None),
    )
    final_fraction: float = option(0.0, "where cosine ends, as a fraction of the peak", range=(0.0, 1.0))


class AdamWKind:
    """AdamW as a kind of optimizer."""

    options = AdamWOptions

    @staticmethod
    def from_options(options: AdamWOptions, flat: Any) -> AdamW:
        """AdamW over the flat parameters of a model."""
        return AdamW(
            flat,
            betas=(options.beta1, options.beta2),
            eps=options.eps,
            weight_decay=options.weight_decay,
            decay_all=options.decay_biases,
        )
