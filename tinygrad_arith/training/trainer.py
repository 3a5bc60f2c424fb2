"""The training loop.

Everything random is a pure function of (seed, step), and a checkpoint holds all the rest, so a run that is stopped at
any instant and resumed computes the very bits of one that was not.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backend import RandomKey
from ..nn import first_nonfinite
from ..optim import clip_scale, gradient_norm, learning_rate
from .checkpoints import FOLDER as CHECKPOINTS
from .checkpoints import Checkpoint, Progress, save_checkpoint
from .config import Config
from .errors import UserError
from .evaluation import evaluate_exact_match
from .interrupts import StopSignals
from .metrics import FILE_NAME as METRICS
from .metrics import MetricsWriter
from .reporter import Reporter
from .worker_processes import start_workers
from .workers import logits_of


@dataclass(frozen=True)
class StepResult:
    """What one training step measured."""

    loss: float  # nats per counted token, before the update
    gradient_norm: float  # before clipping
    learning_rate: float
    examples: int
    tokens: int  # tokens that bore loss


@dataclass(frozen=True)
class Outcome:
    """Why the loop ended: all `steps` done, the accuracy of `until` reached, or a signal (its number) received."""

    stopped: str  # "steps", "until" or "signal"
    signal: int | None = None


def training_step(workers: Any, optimizer: Any, batch: Any, config: Config, step: int) -> StepResult:
    """One step of AdamW on one batch; `step` counts from 0.

    Raises UserError, naming the step and the first tensor that is not finite, if the loss or the gradient is not.
    The parameters are then as they were before the step.
    """
    options, training = config.optimizer, config.training
    key = RandomKey(training.seed, "dropout", step)
    loss, count = workers.forward_backward(batch, key)
    norm = float(gradient_norm(workers.model.flat))
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise UserError(explain_nonfinite(workers, batch, key, loss, norm))
    rate = learning_rate(
        step,
        peak=options.learning_rate,
        schedule=options.schedule,
        warmup=options.warmup,
        steps=training.steps,
        final_fraction=options.final_fraction,
    )
    optimizer.step(rate, clip_scale(norm, options.clip))
    return StepResult(loss, norm, float(rate), len(batch.tokens), count)


def explain_nonfinite(workers: Any, batch: Any, key: RandomKey, loss: float, norm: float) -> str:
    """A sentence that names the step and the first tensor that is not finite, by its dotted name.

    The step is a pure function of its arguments, so it is run again, unclipped, to look at every tensor.
    """
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the norm of the gradient is {norm}"
    workers.forward_backward(batch, key)
    name = first_nonfinite(workers.model, lambda: logits_of(workers.model, batch, key))
    where = f"{name} is the first tensor that is not finite" if name else "though every tensor is finite"
    return f"step {key.step + 1}: {what}; {where} (a lower --learning-rate or a longer --warmup may help)"


class Trainer:
    """Trains a model on a task, in a run directory: steps, evaluates, measures, saves; tells a Reporter about it."""

    def __init__(
        self,
        config: Config,
        task: Any,
        model: Any,
        optimizer: Any,
        directory: Path,
        *,
        until: float | None = None,
        reporter: Reporter | None = None,
    ):
        self.config, self.task, self.model, self.optimizer = config, task, model, optimizer
        self.directory = directory
        self.until = until
        self.reporter = reporter or Reporter()
        self.progress = Progress()
        self.workers: Any = None  # while `run` runs
        self.validation = task.problems("validation", config.training.eval_size)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint: weights, optimizer state and progress.

        Raises ValueError or KeyError if they belong to another model.
        """
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.progress = checkpoint.progress

    def run(self) -> Outcome:
        """Train until the last step, the goal of `until`, or a signal; a checkpoint is saved in each case."""
        metrics = MetricsWriter(self.directory / METRICS)
        training = self.config.training
        self.reporter.started(self.progress.step, training.steps)
        self.workers = start_workers(self.model, max(training.workers, 1), training.worker_kind)
        try:
            with StopSignals() as signals:
                while not self.finished():
                    row = self.step()
                    metrics.append(row)
                    self.reporter.stepped(row)
                    if self.checkpoint_due() or signals.received:
                        metrics.sync()
                        self.save()
                    if signals.received:
                        return Outcome("signal", signals.received)
        finally:
            self.workers.close()
            metrics.close()
            self.reporter.ended()
        return Outcome("steps" if self.progress.step >= training.steps else "until")

    def finished(self) -> bool:
        """Whether all steps are done or the newest evaluation reached `until`."""
        return self.progress.step >= self.config.training.steps or self.goal_reached()

    def goal_reached(self) -> bool:
        """Whether the newest evaluation reached the accuracy of `until`."""
        return self.until is not None and (self.progress.exact_match or 0.0) >= self.until

    def checkpoint_due(self) -> bool:
        """Whether the step just done is to be saved."""
        return self.finished() or self.progress.step % self.config.training.checkpoint_every == 0

    def step(self) -> dict[str, Any]:
        """One training step and, where it is due, an evaluation; returns the row for the metrics."""
        began = time.perf_counter()
        training, progress = self.config.training, self.progress
        batch = self.task.train_batch(progress.step, training.batch, training.seed)
        result = training_step(self.workers, self.optimizer, batch, self.config, progress.step)
        trained = time.perf_counter() - began
        progress.step += 1
        progress.examples += result.examples
        progress.tokens += result.tokens
        evaluated = progress.step % training.eval_every == 0 or progress.step == training.steps
        if evaluated:
            self.evaluate()
        progress.seconds += time.perf_counter() - began
        row = {
            "step": progress.step,
            "loss": result.loss,
            "gradient_norm": result.gradient_norm,
            "learning_rate": result.learning_rate,
            "examples_per_second": round(result.examples / trained, 1),
            "seconds": round(progress.seconds, 3),
        }
        return row | ({"exact_match": progress.exact_match} if evaluated else {})

    def evaluate(self) -> None:
        """Measure exact match on the validation problems, and note the best so far."""
        progress = self.progress
        progress.exact_match = evaluate_exact_match(self.model, self.task, self.validation).exact_match
        if progress.best_exact_match is None or progress.exact_match > progress.best_exact_match:
            progress.best_exact_match, progress.best_step = progress.exact_match, progress.step

    def save(self) -> None:
        """Save a checkpoint of the step just done."""
        training = self.config.training
        path = save_checkpoint(
            self.directory / CHECKPOINTS,
            self.progress,
            self.model.state_dict(),
            self.optimizer.state_dict(),
            seed=training.seed,
            keep=training.keep_checkpoints,
        )
        self.reporter.saved(self.progress.step, path)
