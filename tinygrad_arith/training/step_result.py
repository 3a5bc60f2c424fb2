"""What a training step measures, and what it goes by: its rate and the key of its dropout masks."""

from dataclasses import dataclass
from typing import Any

from ..backend import RandomKey
from ..optim import learning_rate
from .config import Config


@dataclass(frozen=True)
class StepResult:
    """What one training step measured."""

    loss: float  # nats per counted token, before the update
    gradient_norm: float  # before clipping
    learning_rate: float
    examples: int


def rate_of(config: Config, step: int) -> float:
    """The learning rate of a step, counted from 0."""
    options = config.optimizer
    return learning_rate(
        step,
        peak=options.learning_rate,
        schedule=options.schedule,
        warmup=options.warmup,
        steps=config.training.steps,
        final_fraction=options.final_fraction,
    )


def dropout_key(seed: int, step: Any) -> RandomKey:
    """The key of a step's dropout masks; `step` counts from 0, and may be an array () on a GPU.

    The 0 in the name was a worker's number once; it stays, so that older runs with one worker go on to the same bits.
    """
    return RandomKey(seed, "dropout 0", step)
