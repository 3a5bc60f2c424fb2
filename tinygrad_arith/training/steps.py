"""Steps of training: what they measure and go by, and those on the CPU; `device_step.py` has those on a GPU."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

from ..backend import RandomKey
from ..nn import Module, first_nonfinite
from ..objectives import Batch, Objective
from ..optim import AdamW, clip_scale, gradient_norm, learning_rate
from ..options.errors import UserError
from .config import Config
from .workers import Workers, loss_and_gradient


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


class Steps(Protocol):
    """Runs training steps, maybe later than they are asked for."""

    waits: bool  # whether there is something to wait for in `results`

    def enqueue(self, batch: Batch, step: int) -> None:
        """One step on one batch of NumPy arrays; `step` counts from 0."""
        ...

    def results(self) -> list[StepResult]:
        """Those of the steps since the last call, in order; from one that is not finite on no weights have changed."""
        ...

    def close(self) -> None:
        """Ends what runs beside this thread."""
        ...


class HostSteps:
    """Runs training steps on the CPU: every step is done at once."""

    waits = False

    def __init__(self, workers: Workers, optimizer: AdamW, config: Config):
        self.workers, self.optimizer, self.config = workers, optimizer, config
        self.close = workers.close
        self.done: list[StepResult] = []

    def enqueue(self, batch: Batch, step: int) -> None:
        """See `training_step`."""
        self.done.append(training_step(self.workers, self.optimizer, batch, self.config, step))

    def results(self) -> list[StepResult]:
        """Those of the steps since the last call."""
        done, self.done = self.done, []
        return done


def training_step(workers: Workers, optimizer: AdamW, batch: Batch, config: Config, step: int) -> StepResult:
    """One step of the optimizer on one batch; `step` counts from 0.

    Raises UserError, naming the step and the first tensor that is not finite, if the loss or the gradient is not.
    The parameters are then as they were before the step.
    """
    model = workers.model
    key = dropout_key(config.training.seed, step)
    loss, _ = workers.forward_backward(batch, key)
    if not config.optimizer.train_biases:
        model.flat.hold_undecayed()
    norm = float(gradient_norm(model.flat))
    result = StepResult(loss, norm, rate_of(config, step), len(batch.tokens))
    if not result.is_finite():
        raise UserError(explain_nonfinite(model, workers.objective, batch, key, result))
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


def explain_nonfinite(model: Module, objective: Objective, batch: Batch, key: RandomKey, result: StepResult) -> str:
    """A sentence that names the step and the first tensor that is not finite, by its dotted name.

    The step is a pure function of its arguments, so it is run again, unclipped, to look at every tensor.
    """
    loss, norm = result.loss, result.gradient_norm
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the norm of the gradient is {norm}"
    normalizer, batch = max(objective.count(batch), 1), batch.on_device_of(model.flat.values)
    loss_and_gradient(model, objective, batch, key, normalizer)
    name = first_nonfinite(model, lambda: objective.loss(model, batch, key))
    where = f"{name} is the first tensor that is not finite" if name else "though every tensor is finite"
    return f"step {key.step + 1}: {what}; {where} (a lower --learning-rate or a longer --warmup may help)"
