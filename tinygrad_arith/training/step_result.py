"""What a training step measures, and the rate it goes by."""

from dataclasses import dataclass

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
