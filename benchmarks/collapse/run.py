"""The candle training whose accuracy collapses, with one thing changed: what all parts of this study run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from collapse.sharpness import Sharpness, edge
from collapse.terms import VARIANTS
from tinygrad_arith.backend import RandomKey, array_module
from tinygrad_arith.objectives import Batch
from tinygrad_arith.training.build import choose_training_device, initialize, make_model, make_optimizer, make_task
from tinygrad_arith.training.config import Config
from tinygrad_arith.training.presets import load_preset
from tinygrad_arith.training.steps import rate_of
from tinygrad_arith.training.trainer import start_steps
from tinygrad_arith.training.workers import loss_and_gradient

PRESET = "candle-binary-reversed"
PROBLEMS = 500
SHARPNESS_ROWS = 384  # examples of the loss whose curvature is measured: as many as two batches


def configuration(variant: str, seed: int, steps: int | None) -> Config:
    """The preset with the variant's changes."""
    config = load_preset(PRESET).config
    changes = VARIANTS[variant] | {"training": {"seed": seed, "steps": steps or config.training.steps}}
    for section, options in changes.items():
        config = dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **options)})
    return config.resolved()


@dataclass(frozen=True)
class State:
    """Weights and AdamW's moments at some step: all that the steps after it depend on."""

    values: Any  # (N,)
    first_moment: Any  # (N,)
    second_moment: Any  # (N,)
    steps: int


class Training:
    """A model on its way, to be taken apart: steps, evaluations, states to come back to."""

    def __init__(self, config: Config):
        self.config = config
        self.task = make_task(config.task)
        self.model = initialize(make_model(config, self.task), config, choose_training_device(config.training))
        self.optimizer = make_optimizer(config, self.model)
        self.runner = start_steps(self.model, self.optimizer, config)
        # For the sharpness, a batch of a step that is never made. Its short problems, most of it, come in others too:
        self.apart = self.task.train_batch(config.training.steps, SHARPNESS_ROWS, config.training.seed)

    @property
    def flat(self) -> Any:
        """The parameters, their gradients and moments in one array each."""
        return self.model.flat

    def exact_match(self) -> float:
        """The share of the validation problems that is answered right now."""
        return self.task.evaluate(self.model, "validation", PROBLEMS).value

    def state(self) -> State:
        """A copy of the state."""
        optimizer = self.optimizer
        moments = optimizer.first_moment.copy(), optimizer.second_moment.copy()
        return State(self.flat.values.copy(), *moments, optimizer.steps)

    def restore(self, state: State) -> None:
        """Go back to a state."""
        self.flat.values[...] = state.values
        self.optimizer.first_moment[...] = state.first_moment
        self.optimizer.second_moment[...] = state.second_moment
        self.optimizer.steps = state.steps
        self.flat.mark_written()

    def preconditioner(self) -> Any:
        """The diagonal of P, (N,): what AdamW divides the mean gradient by."""
        second, beta2 = self.optimizer.second_moment, self.optimizer.betas[1]
        root = array_module(second).sqrt(second) / math.sqrt(1.0 - beta2**self.optimizer.steps)  # as `AdamW` has it
        return root + self.optimizer.eps

    def edge(self, step: int) -> float:
        """The sharpness above which a step, counted from 0, is unstable."""
        return edge(rate_of(self.config, step), self.optimizer.betas[0])

    def sharpness_on(self, batch: Callable[[], Any]) -> Sharpness:
        """The sharpness of the loss on a batch, which is asked for each time."""
        key = RandomKey(self.config.training.seed, "sharpness")
        return Sharpness(self.flat, lambda: self.backward(batch(), key))

    def backward(self, batch: Batch, key: RandomKey) -> None:
        """Leaves the gradient of the mean loss of a batch in the flat buffer."""
        objective = self.task.objective
        count = objective.count(batch)
        loss_and_gradient(self.model, objective, batch.on_device_of(self.flat.values), key, count)
