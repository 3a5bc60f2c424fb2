"""This project's step on the GPU, as `train` runs it (`DeviceSteps`), or the same without a graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import cupy
import numpy as np
from cpu_rivals import settings
from cpu_rivals.configurations import Configuration
from cpu_rivals.ours import OPTIMIZER, build_model

from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.cuda.precision import set_float32_matmul_precision
from tinygrad_arith.objectives import NEXT_TOKEN, Batch
from tinygrad_arith.optim import AdamW
from tinygrad_arith.training.config import Config, TrainingOptions
from tinygrad_arith.training.device_step import DeviceSteps
from tinygrad_arith.training.workers import loss_and_gradient


class OurStep:
    """See `contestants.Contestant`."""

    def __init__(self, configuration: Configuration, weights: Mapping[str, np.ndarray], precision: str, graph: bool):
        set_float32_matmul_precision("tf32" if precision == "tf32" else "float32")
        dtype = "bfloat16" if precision == "bfloat16" else "float32"
        config = Config(optimizer=OPTIMIZER, training=dataclasses.replace(TrainingOptions(), dtype=dtype))
        self.model = build_model(configuration)
        self.model.initialize(seed=settings.SEED, policy=DtypePolicy.named(dtype), device="cuda")
        self.model.load_state_dict(dict(weights))
        optimizer = AdamW(self.model.flat, betas=settings.BETAS, eps=settings.EPS, weight_decay=settings.WEIGHT_DECAY)
        self.steps = DeviceSteps(self.model, optimizer, config, capture=graph)
        self.done = 0

    def loss_and_gradients(self, tokens: np.ndarray, targets: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
        """The loss of a batch and all gradients, without an update."""
        batch = Batch(tokens, targets)
        key, count = RandomKey(settings.SEED, "dropout"), NEXT_TOKEN.count(batch)
        loss = loss_and_gradient(self.model, NEXT_TOKEN, batch.on_device_of(self.model.flat.values), key, count)
        return loss / count, {name: p.grad.get() for name, p in self.model.named_parameters().items()}

    def enqueue(self, tokens: np.ndarray, targets: np.ndarray) -> None:
        """One step; returns while the GPU computes."""
        self.steps.enqueue(Batch(tokens, targets), self.done)
        self.done += 1

    def losses(self) -> list[float]:
        """Those of the steps since the last call, in order."""
        return [result.loss for result in self.steps.results()]

    @property
    def note(self) -> str:
        """What the reader must know of the times."""
        reason = self.steps.reason
        return "" if reason in (None, "not asked for") else f"without a graph: {reason}"

    def close(self) -> None:
        """Lets the memory go."""
        self.steps.close()
        del self.steps, self.model
        cupy.get_default_memory_pool().free_all_blocks()
