"""The options that all optimizers share: the learning rate over the steps, decay and clipping."""

from dataclasses import dataclass
from typing import Any

from ..options.option import Options, option

KIND_HELP = "what is done with the gradients: {kinds}"
SHARE = (0.0, 0.999999)  # what an average may keep of itself in a step


def peak_rate(default: float) -> Any:
    """The field `learning_rate` of an optimizer, with its default."""
    return option(default, "peak learning rate", range=(0.0, None), also=("--lr",), sizes=True)


@dataclass(frozen=True)
class OptimizerOptions(Options):
    """The options of every optimizer.

    The rate, the decay and the betas of one are no measure for another: each kind is a family of its own (see
    `Options`), so that another kind begins with its own.
    """

    kind: str = option("adamw", KIND_HELP, flag="optimizer")
    learning_rate: float = peak_rate(2e-3)
    weight_decay: float = option(0.01, "decoupled decay of the weights", range=(0.0, None), sizes=True)
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
