"""This project's training step."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping

import numpy as np

from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import FlatParameters
from tinygrad_arith.objectives import Batch
from tinygrad_arith.optim import AdamW
from tinygrad_arith.optim.adamw import AdamWOptions
from tinygrad_arith.training.config import Config
from tinygrad_arith.training.steps import training_step
from tinygrad_arith.training.threads import choose_threads, settle_process
from tinygrad_arith.training.workers import start_workers

from . import settings
from .configurations import Configuration
from .profiling import profile_steps

OPTIMIZER = AdamWOptions(
    learning_rate=settings.LEARNING_RATE,
    beta1=settings.BETAS[0],
    beta2=settings.BETAS[1],
    eps=settings.EPS,
    weight_decay=settings.WEIGHT_DECAY,
    clip=settings.CLIP,
    schedule="constant",
    warmup=0,
)


def build_model(configuration: Configuration) -> GPT:
    """The model of a configuration, not yet initialised."""
    c = configuration
    return GPT(
        GPTConfig(
            vocabulary=c.vocabulary,
            context=c.rows,
            d_model=c.d_model,
            layers=c.layers,
            heads=c.heads,
            ffn=c.hidden,
            activation=c.activation,
            tied_head=c.tied,
        )
    )


class Ours:
    """The project's own step, behind the interface of all contestants (`protocol.Contestant`)."""

    def __init__(self, threads: int):
        self.threads = threads
        self.config = Config(optimizer=OPTIMIZER)
        self.steps = 0
        self.processes = 1
        self.versions = {"numpy": importlib.metadata.version("numpy")}

    def prepare(self, configuration: Configuration, weights: Mapping[str, np.ndarray]) -> None:
        """Builds model and optimizer, with these weights; threads and memory are settled as the train command does."""
        self.model = build_model(configuration)
        flop = self.model.shape_report(configuration.batch, configuration.positions).flop
        chosen = choose_threads(configuration.batch, flop, self.threads)
        settle_process(chosen.blas)
        parameters = self.model.named_parameters()
        self.model.flat = FlatParameters(parameters, DtypePolicy.uniform("float32"))
        for name, parameter in parameters.items():
            parameter.array[...] = weights[name]
        self.model.flat.mark_written()
        self.processes = chosen.workers
        self.workers = start_workers(self.model, chosen.workers, chosen.kind)
        self.optimizer = AdamW(
            self.model.flat, betas=settings.BETAS, eps=settings.EPS, weight_decay=settings.WEIGHT_DECAY
        )

    def loss_and_gradients(self, tokens: np.ndarray, targets: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
        """The loss of a batch and all gradients, without an update."""
        loss, _ = self.workers.forward_backward(Batch(tokens, targets), RandomKey(settings.SEED, "dropout"))
        return loss, {name: p.grad for name, p in self.model.named_parameters().items()}

    def step(self, tokens: np.ndarray, targets: np.ndarray) -> float:
        """One training step, the very function that the trainer calls. Returns the loss before the update."""
        result = training_step(self.workers, self.optimizer, Batch(tokens, targets), self.config, self.steps)
        self.steps += 1
        return result.loss

    def helpers(self) -> list[int]:
        """The processes beside this one that take part in a step, by their numbers: their memory counts."""
        return [other.process.pid for other in getattr(self.workers, "others", ())]

    def profile(self, batches: list[tuple[np.ndarray, np.ndarray]], steps: int) -> dict:
        """Our time split by operation; see `profile_steps`."""
        return profile_steps(self, batches, steps)
