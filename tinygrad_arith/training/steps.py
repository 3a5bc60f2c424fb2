"""Steps of training: what they measure and go by, and those on the CPU; `device_step.py` has those on a GPU."""

import math
from dataclasses import dataclass
from typing import Any

from ..backend import RandomKey
from ..nn import Module
from ..objectives import NEXT_TOKEN, Batch, Objective
from ..optim import Optimizer, clip_scale, gradient_norm, learning_rate
from .config import Config
from .workers import Workers, start_workers


@dataclass(frozen=True)
class StepResult:
    """What one training step measured."""

    loss: float  # nats per counted token, before the update
    gradient_norm: float  # before clipping
    learning_rate: float
    examples: int

    def is_finite(self) -> bool:
        """Whether the step was made: it is not if its loss or gradient are not finite."""
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)


class Steps:
    """Runs training steps, maybe later than they are asked for."""

    waits: bool  # whether there is something to wait for in `results`

    def __init__(self, model: Module, optimizer: Optimizer, config: Config, objective: Objective = NEXT_TOKEN):
        self.model, self.optimizer, self.config, self.objective = model, optimizer, config, objective
        self.done: list[StepResult] = []

    def enqueue(self, batch: Batch, step: int) -> None:
        """One step of the optimizer on one batch of NumPy arrays; `step` counts from 0."""
        raise NotImplementedError

    def results(self) -> list[StepResult]:
        """Those of the steps since the last call, in order.

        From the first one on whose loss or gradient is not finite the weights have not changed.
        """
        done, self.done = self.done, []
        return done

    def close(self) -> None:
        """Ends what runs beside this thread."""
        raise NotImplementedError


class HostSteps(Steps):
    """Runs training steps on the CPU: every step is done at once."""

    waits = False

    def __init__(self, model: Module, optimizer: Optimizer, config: Config, objective: Objective = NEXT_TOKEN):
        super().__init__(model, optimizer, config, objective)
        training = config.training
        self.workers = start_workers(model, max(training.workers, 1), training.worker_kind, objective)

    def enqueue(self, batch: Batch, step: int) -> None:
        self.done.append(training_step(self.workers, self.optimizer, batch, self.config, step))

    def close(self) -> None:
        self.workers.close()


def training_step(workers: Workers, optimizer: Optimizer, batch: Batch, config: Config, step: int) -> StepResult:
    """One step of the optimizer on one batch; `step` counts from 0.

    If the loss or the gradient is not finite, the parameters are left as they were before the step.
    """
    loss, _ = workers.forward_backward(batch, dropout_key(config.training.seed, step))
    flat = workers.model.flat
    if not config.optimizer.train_biases:
        flat.hold_undecayed()
    norm = float(gradient_norm(flat))
    result = StepResult(loss, norm, rate_of(config, step), len(batch.tokens))
    if result.is_finite():
        optimizer.step(result.learning_rate, clip_scale(norm, config.optimizer.clip))
    return result


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
