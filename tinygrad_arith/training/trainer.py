"""The training loop.

Everything random is a pure function of (seed, step), and a checkpoint holds all the rest, so a run that is stopped at
any instant and resumed computes the very bits of one that was not.
"""

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import array_module
from ..nn import Module
from ..objectives import NEXT_TOKEN, Objective
from ..optim import AdamW
from ..options.errors import UserError
from ..parallel.interrupts import StopSignals
from ..run_files.checkpoints import FOLDER as CHECKPOINTS
from ..run_files.checkpoints import Progress, save_checkpoint
from ..run_files.metrics import FILE_NAME as METRICS
from ..run_files.metrics import MetricsWriter, evaluation_fields
from ..run_files.predictions import FILE_NAME as PREDICTIONS
from ..run_files.predictions import PredictionsWriter
from ..tasks import Task
from ..tasks.answering import AnsweringTask
from .batches import Batches, make_batches
from .config import Config
from .reporter import Reporter
from .steps import HostSteps, StepResult, Steps, dropout_key, explain_nonfinite
from .workers import start_workers

LOOK_EVERY = 0.25  # seconds that steps on a GPU run on, at most, before they are asked how they went


@dataclass(frozen=True)
class Outcome:
    """What stopped the loop; neither, if there was no step left to do."""

    signal: int | None = None  # that was received
    output_error: OSError | None = None  # why the reporter cannot write any more

    @property
    def stopped(self) -> bool:
        """Whether anything did."""
        return self.signal is not None or self.output_error is not None


def start_steps(model: Module, optimizer: AdamW, config: Config, objective: Objective = NEXT_TOKEN) -> Steps:
    """What runs the steps, where the model's parameters are; to be closed after use."""
    training = config.training
    if array_module(model.flat.values) is np:
        workers = start_workers(model, max(training.workers, 1), training.worker_kind, objective)
        return HostSteps(workers, optimizer, config)
    from .device_step import DeviceSteps  # loads what only a GPU needs

    return DeviceSteps(model, optimizer, config, objective)


class Trainer:
    """Trains a model on a task, in a run directory: steps, evaluates, measures, saves; tells a Reporter about it."""

    steps: Steps  # these are there while `run` runs
    batches: Batches
    metrics: MetricsWriter
    predictions: PredictionsWriter | None = None  # None for a task without answers

    def __init__(
        self,
        config: Config,
        task: Task,
        model: Module,
        optimizer: AdamW,
        directory: Path,
        *,
        until: float | None = None,
        reporter: Reporter | None = None,
    ):
        self.config, self.task, self.model, self.optimizer = config, task, model, optimizer
        self.directory, self.until, self.reporter = directory, until, reporter or Reporter()
        self.progress = Progress(goal=task.goal)
        self.began = 0.0  # when the first step since the last look was enqueued

    def run(self) -> Outcome:
        """Train until the last step, the goal of `until`, a signal, or a failure of the output; then save."""
        with ExitStack() as opened:
            self.open(opened)
            signals = opened.enter_context(StopSignals())
            self.began = time.perf_counter()
            while not self.finished():
                step = self.progress.step
                self.steps.enqueue(self.batches.at(step), step)
                self.progress.step += 1
                if not (self.look_due() or signals.received):
                    continue
                for row in self.look():
                    self.metrics.append(row)
                    self.reporter.stepped(row)
                outcome = Outcome(signals.received, self.reporter.output_error)
                if self.checkpoint_due() or outcome.stopped:
                    self.save()
                if outcome.stopped:
                    return outcome
                self.began = time.perf_counter()
        return Outcome(signals.received, self.reporter.output_error)  # a signal may have come during the last save

    def open(self, opened: ExitStack) -> None:
        """Open what the loop needs, to be closed with `opened`, be it only a part because the rest cannot be opened."""
        training = self.config.training
        self.reporter.started(self.progress.step, training.steps)
        opened.callback(self.reporter.ended)
        self.metrics = opened.enter_context(closing(MetricsWriter(self.directory / METRICS)))
        if isinstance(self.task, AnsweringTask):
            followed = self.task.problems("validation", training.eval_size)
            predictions = PredictionsWriter(self.directory / PREDICTIONS, self.task, followed)
            self.predictions = opened.enter_context(closing(predictions))
        steps = start_steps(self.model, self.optimizer, self.config, self.task.objective)
        self.steps = opened.enter_context(closing(steps))
        batches = make_batches(self.task, training, ahead=self.steps.waits, first=self.progress.step)
        self.batches = opened.enter_context(closing(batches))

    def finished(self) -> bool:
        """Whether there is no step left to do."""
        return self.progress.finished(self.config.training.steps, self.until)

    def checkpoint_due(self) -> bool:
        """Whether the step just done is to be saved."""
        return self.finished() or self.progress.step % self.config.training.checkpoint_every == 0

    def evaluation_due(self) -> bool:
        """Whether the model is to be evaluated after the step just done."""
        training, step = self.config.training, self.progress.step
        return step % training.eval_every == 0 or step == training.steps

    def look_due(self) -> bool:
        """Whether it is time to ask how the steps went: at once on the CPU, where they are done."""
        due = not self.steps.waits or self.evaluation_due() or self.checkpoint_due()
        return due or time.perf_counter() - self.began > LOOK_EVERY

    def look(self) -> Iterator[dict[str, Any]]:
        """The rows for the metrics, one for each step since the last look; an evaluation, where due, is in the last.

        Raises UserError, after the rows before it, if a step was not finite.
        """
        progress, results = self.progress, self.steps.results()
        trained = time.perf_counter() - self.began
        speed = round(sum(result.examples for result in results) / trained, 1)
        made = list(itertools.takewhile(StepResult.is_finite, results))
        first, examples, before = progress.step - len(results), progress.examples, progress.seconds
        progress.examples += sum(result.examples for result in made)
        measured = self.evaluate() if len(made) == len(results) and self.evaluation_due() else {}
        elapsed = time.perf_counter() - self.began
        progress.seconds += elapsed
        for number, result in enumerate(made, start=1):
            examples += result.examples
            row = {
                "step": first + number,
                "loss": result.loss,
                "gradient_norm": result.gradient_norm,
                "learning_rate": result.learning_rate,
                "examples": examples,
                "examples_per_second": speed,
                "seconds": round(before + elapsed * number / len(results), 3),
            }
            yield row | (measured if number == len(results) else {})
        if len(made) < len(results):
            raise UserError(self.explain(first + len(made), results[len(made)]))

    def explain(self, step: int, result: StepResult) -> str:
        """What went wrong in a step, counted from 0, on the GPU; the weights are those of before it."""
        training, objective = self.config.training, self.task.objective
        batch = self.task.train_batch(step, training.batch, training.seed)
        return explain_nonfinite(self.model, objective, batch, dropout_key(training.seed, step), result)

    def evaluate(self) -> dict[str, Any]:
        """Measure how the model does on the validation examples; returns what metrics tell.

        What it predicts for the first of them goes into `predictions.jsonl`.
        """
        progress = self.progress
        metrics = self.task.evaluate(self.model, "validation", self.config.training.eval_size or None)
        progress.goal, progress.value = metrics.goal, metrics.value
        if self.predictions is not None:
            self.predictions.append_prediction(progress.step, self.model)
        return evaluation_fields(metrics)

    def save(self) -> None:
        """Save a checkpoint of the step just done, after all that was measured up to it."""
        training = self.config.training
        for writer in (self.metrics, self.predictions):
            if writer is not None:
                writer.sync()
        path = save_checkpoint(
            self.directory / CHECKPOINTS,
            self.progress,
            self.model.state_dict(),
            self.optimizer.state_dict(),
            seed=training.seed,
            keep=training.keep_checkpoints,
        )
        self.reporter.saved(self.progress.step, path)
