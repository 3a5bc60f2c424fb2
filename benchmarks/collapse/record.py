"""What is recorded of a run: beside the accuracy, norms of every parameter, and the sharpness if it is asked for.

Every 10 steps and for each parameter: the norm of the gradient, the norm of the update, that of the weights, and the
root of the mean of AdamW's second moment. With the sharpness also, at every evaluation, that of `sharpness.py` over the
edge of stability.
"""

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from collapse.run import Training, configuration
from collapse.terms import EVALUATE_EVERY, RECORD_EVERY
from tinygrad_arith.backend import array_module
from tinygrad_arith.training.batches import make_batches
from tinygrad_arith.training.config import Config
from tinygrad_arith.training.steps import rate_of


class Recorder:
    """Norms of each parameter's gradient, update and weights and the size of its second moment, where they lie."""

    def __init__(self, training: Training):
        self.training, self.flat, self.optimizer = training, training.flat, training.optimizer
        self.xp = array_module(self.flat.values)
        self.names = list(self.flat.slices)
        self.sizes = np.array([parameter.size for parameter in self.flat.parameters.values()])
        self.rows: list = []

    def record(self, step: int) -> None:
        """One row after `step` steps, without waiting for the GPU."""
        first, second = self.optimizer.first_moment, self.optimizer.second_moment
        rate = rate_of(self.training.config, step - 1) / (1.0 - self.optimizer.betas[0] ** step)
        update = rate * first / self.training.preconditioner()  # (N,)
        squares = (self.flat.gradients**2, update**2, self.flat.values**2, second)
        places = self.flat.slices.values()
        self.rows.append(self.xp.stack([self.xp.stack([x[here].sum() for here in places]) for x in squares]))

    def table(self) -> np.ndarray:
        """(rows, quantities, parameters): norms, and the root of the mean second moment."""
        rows = self.xp.stack(self.rows)  # (R, 4, P)
        rows = np.sqrt(rows if self.xp is np else rows.get())
        rows[:, 3] /= np.sqrt(self.sizes)
        return rows.astype(np.float32)


class EdgeRecorder:
    """The sharpness over the edge of stability, at every evaluation."""

    def __init__(self, training: Training):
        self.training = training
        self.sharpness = training.sharpness_on(lambda: training.apart)
        self.shares: list[float] = []

    def record(self, step: int) -> None:
        """After `step` steps."""
        self.shares.append(self.sharpness.measure(self.training.preconditioner()) / self.training.edge(step - 1))


def train(variant: str, seed: int, steps: int | None, out: Path, sharpness: bool) -> None:
    """One run, recorded into `out`."""
    config = configuration(variant, seed, steps)
    training = Training(config)
    runner, recorder = training.runner, Recorder(training)
    at_the_edge = EdgeRecorder(training) if sharpness else None
    batches = make_batches(training.task, config.training, ahead=runner.waits)
    losses, norms, evaluated, began = [], [], [], time.perf_counter()
    for step in range(1, config.training.steps + 1):
        runner.enqueue(batches.at(step - 1), step - 1)
        if step % RECORD_EVERY == 0:
            recorder.record(step)
        if step % EVALUATE_EVERY == 0:
            for result in runner.results():
                losses.append(result.loss)
                norms.append(result.gradient_norm)
            if not math.isfinite(losses[-1] + norms[-1]):
                raise SystemExit(f"{variant}, seed {seed}: not finite in the steps up to {step}")
            evaluated.append(training.exact_match())
            if at_the_edge:
                at_the_edge.record(step)
    runner.close()
    batches.close()
    about = {"variant": variant, "seed": seed, "steps": len(losses)}
    about |= {"seconds": round(time.perf_counter() - began, 1)}
    arrays = {"losses": losses, "norms": norms, "sharpness": at_the_edge.shares if at_the_edge else ()}
    arrays = {name: np.array(values, np.float32) for name, values in arrays.items()}
    arrays |= {"exact_match": np.array(evaluated), "table": recorder.table(), "parameters": recorder.names}
    save_record(out, about, config, arrays)


def save_record(out: Path, about: dict[str, Any], config: Config, arrays: dict[str, Any]) -> None:
    """A run's record as `VARIANT-seedSEED.npz`, which `report.load` reads; tells how it went."""
    name = f"{about['variant']}-seed{about['seed']}".replace(" ", "_")
    np.savez_compressed(out / f"{name}.npz", about=json.dumps(about), config=json.dumps(config.to_dict()), **arrays)
    shares = arrays["exact_match"]
    lowest = shares[len(shares) // 2 :].min()
    print(f"{name}: exact match {shares[-1]:.3f}, lowest of the last half {lowest:.3f}, {about['seconds']:.0f} s",
          flush=True)  # fmt: skip
