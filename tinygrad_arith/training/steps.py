"""What the trainer asks of whatever runs its steps, and the steps on the CPU; `device_step.py` has those on a GPU."""

import math
from typing import Protocol

import numpy as np

from ..backend import RandomKey, array_module
from ..nn import Module, first_nonfinite
from ..objectives import NEXT_TOKEN, Batch, Objective
from ..optim import FlatOptimizer, Optimizer, clip_scale, gradient_norm
from ..options.errors import UserError
from .config import Config
from .process_workers import ProcessWorkers
from .step_result import StepResult, dropout_key, rate_of
from .thread_workers import ThreadWorkers


class Gradients(Protocol):
    """What computes losses and gradients: `ThreadWorkers`, `ProcessWorkers`, and all `Steps`."""

    model: Module
    objective: Objective

    def forward_backward(self, batch: Batch, key: RandomKey) -> tuple[float, int]:
        """The mean loss of a batch and how many terms it is of; its gradient is in the flat buffer afterwards."""
        ...

    def close(self) -> None:
        """Ends what runs beside this thread."""
        ...


class Steps(Gradients, Protocol):
    """Runs training steps, maybe later than they are asked for."""

    waits: bool  # whether there is something to wait for in `results`

    def enqueue(self, batch: Batch, step: int) -> None:
        """One step on one batch of NumPy arrays; `step` counts from 0."""
        ...

    def results(self) -> list[StepResult]:
        """Those of the steps since the last call, in order; from one that is not finite on no weights have changed."""
        ...


def training_step(workers: Gradients, optimizer: Optimizer, batch: Batch, config: Config, step: int) -> StepResult:
    """One step of the optimizer on one batch; `step` counts from 0.

    Raises UserError, naming the step and the first tensor that is not finite, if the loss or the gradient is not.
    The parameters are then as they were before the step.
    """
    key = dropout_key(config.training.seed, step)
    loss, _ = workers.forward_backward(batch, key)
    if not config.optimizer.train_biases:
        workers.model.flat.hold_undecayed()
    norm = float(gradient_norm(workers.model.flat))
    rate = rate_of(config, step)
    result = StepResult(loss, norm, rate, len(batch.tokens))
    if not is_finite(result):
        raise UserError(explain_nonfinite(workers, batch, key, loss, norm))
    optimizer.step(rate, clip_scale(norm, config.optimizer.clip))
    return result


def is_finite(result: StepResult) -> bool:
    """Whether the step was made: it is not if its loss or gradient are not finite."""
    return math.isfinite(result.loss) and math.isfinite(result.gradient_norm)


def explain_nonfinite(workers: Gradients, batch: Batch, key: RandomKey, loss: float, norm: float) -> str:
    """A sentence that names the step and the first tensor that is not finite, by its dotted name.

    The step is a pure function of its arguments, so it is run again, unclipped, to look at every tensor.
    """
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the norm of the gradient is {norm}"
    workers.forward_backward(batch, key)
    name = first_nonfinite(workers.model, lambda: workers.objective.loss(workers.model, batch, key))
    where = f"{name} is the first tensor that is not finite" if name else "though every tensor is finite"
    return f"step {key.step + 1}: {what}; {where} (a lower --learning-rate or a longer --warmup may help)"


class HostSteps:
    """Runs training steps on the CPU: as `device_step.DeviceSteps`, but every step is done at once."""

    waits = False

    def __init__(self, workers: Gradients, optimizer: Optimizer, config: Config):
        self.workers, self.optimizer, self.config = workers, optimizer, config
        self.model, self.objective = workers.model, workers.objective
        self.forward_backward, self.close = workers.forward_backward, workers.close
        self._done: list[StepResult] = []

    def enqueue(self, batch: Batch, step: int) -> None:
        """See `training_step`."""
        self._done.append(training_step(self.workers, self.optimizer, batch, self.config, step))

    def results(self) -> list[StepResult]:
        """Those of the steps since the last call."""
        done, self._done = self._done, []
        return done


def start_workers(
    model: Module, count: int, kind: str = "processes", objective: Objective = NEXT_TOKEN
) -> ThreadWorkers | ProcessWorkers:
    """The workers that share each batch, to be closed after use. `kind` is "processes" or "threads"."""
    workers = ProcessWorkers if count > 1 and kind == "processes" else ThreadWorkers
    return workers(model, count, objective)


def start_steps(model: Module, optimizer: Optimizer, config: Config, objective: Objective = NEXT_TOKEN) -> Steps:
    """What runs the steps, where the model's parameters are; to be closed after use."""
    training = config.training
    if array_module(model.flat.values) is np:
        workers = start_workers(model, max(training.workers, 1), training.worker_kind, objective)
        return HostSteps(workers, optimizer, config)
    from .device_step import DeviceSteps  # loads what only a GPU needs

    if not isinstance(optimizer, FlatOptimizer):
        raise TypeError(f"on a GPU an optimizer is a FlatOptimizer, whose rates a graph reads: not {optimizer!r}")
    return DeviceSteps(model, optimizer, config, objective)
