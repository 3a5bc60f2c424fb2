"""The training loop.

Everything random is a pure function of (seed, step), and a checkpoint holds all the rest, so a run that is stopped at
any instant and resumed computes the very bits of one that was not.
"""

import itertools
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import array_module
from ..models.model import Model
from ..nn import Module, first_nonfinite
from ..objectives import NEXT_TOKEN, Objective
from ..optim import FlatOptimizer, Optimizer
from ..options.errors import UserError
from ..parallel.interrupts import StopSignals
from ..run_files import checkpoints, metrics, predictions
from ..tasks import Task
from ..tasks.answering import AnsweringTask
from ..tasks.metrics import Metrics
from .batches import Batches, make_batches
from .config import Config
from .reporter import Reporter
from .runs import RunRecord, write_result
from .steps import HostSteps, StepResult, Steps, dropout_key
from .workers import loss_and_gradient

LOOK_EVERY = 0.25  # seconds that steps on a GPU run on, at most, before they are asked how they went


@dataclass(frozen=True)
class Session:
    """A run that is ready to train."""

    record: RunRecord
    directory: Path
    task: Task
    model: Model
    optimizer: Optimizer
    device: str = "cpu"
    checkpoint: checkpoints.Checkpoint | None = None  # where to go on from; None: from the start


@dataclass(frozen=True)
class Outcome:
    """What stopped the loop; neither, if there was no step left to do."""

    signal: int | None = None  # that was received
    output_error: OSError | None = None  # why the reporter cannot write any more
    asked: bool = False  # by the reporter

    @property
    def stopped(self) -> bool:
        """Whether anything did."""
        return self.asked or self.signal is not None or self.output_error is not None


def start_steps(model: Module, optimizer: Optimizer, config: Config, objective: Objective = NEXT_TOKEN) -> Steps:
    """What runs the steps, where the model's parameters are; to be closed after use."""
    if array_module(model.flat.values) is np:
        return HostSteps(model, optimizer, config, objective)
    if not isinstance(optimizer, FlatOptimizer):
        raise TypeError(f"on a GPU an optimizer is a FlatOptimizer, whose rates a graph reads: not {optimizer!r}")
    from .device_step import DeviceSteps  # loads what only a GPU needs

    return DeviceSteps(model, optimizer, config, objective)


def note_result(session: Session, progress: checkpoints.Progress, found: Metrics) -> metrics.Reached | None:
    """Write `result.json` of a run whose model did so on the test split; returns when the run reached its `until`."""
    reached = metrics.first_reached(session.directory, session.task.goal, session.record.until)
    write_result(session.directory, progress.step, progress.seconds, found, reached)
    return reached


class Trainer:
    """Trains a model on a task, in a run directory: steps, evaluates, measures, saves; tells a Reporter about it."""

    def __init__(self, session: Session, reporter: Reporter | None = None):
        """Raises UserError if the session's checkpoint belongs to another model or another optimizer."""
        self.session, self.reporter = session, reporter or Reporter()
        self.task, self.model, self.optimizer = session.task, session.model, session.optimizer
        self.training = session.record.config.training
        self.progress = checkpoints.Progress(goal=session.task.goal)
        # While `run` runs:
        self.steps: Steps
        self.batches: Batches
        self.metrics: metrics.MetricsWriter
        self.predictions: predictions.PredictionsWriter | None = None  # None for a task without answers
        self.began: float  # when the first step since the last look was enqueued
        checkpoint = session.checkpoint
        if checkpoint is not None:
            try:
                self.model.load_state_dict(checkpoint.model)
                self.optimizer.load_state_dict(checkpoint.optimizer)
            except (ValueError, KeyError) as error:
                raise UserError(f"{checkpoint.path}: does not fit this run: {error}") from error
            self.progress = checkpoint.progress

    def run(self) -> Outcome:
        """Train until the last step, the goal of `until`, a signal, or a failure of the output; then save."""
        with ExitStack() as opened:
            self.open(opened)
            signals = opened.enter_context(StopSignals(self.reporter.stopping))
            self.began = time.perf_counter()
            while not self.finished():
                step = self.progress.step
                self.batch = self.batches.at(step)
                self.steps.enqueue(self.batch, step)
                self.progress.step += 1
                if not (self.look_due() or signals.received):
                    continue
                for row in self.look():
                    self.metrics.append(row)
                    self.reporter.stepped(row)
                outcome = Outcome(signals.received, self.reporter.output_error, self.reporter.stop)
                if self.checkpoint_due() or outcome.stopped:
                    self.save()
                if outcome.stopped:
                    return outcome
                self.began = time.perf_counter()
        return Outcome(signals.received, self.reporter.output_error)  # a signal may have come during the last save

    def open(self, opened: ExitStack) -> None:
        """Open what the loop needs, to be closed with `opened`, be it only a part because the rest cannot be opened."""
        directory, task, training = self.session.directory, self.task, self.training
        self.reporter.started(self.progress.step, training.steps)
        opened.callback(self.reporter.ended)
        self.metrics = opened.enter_context(closing(metrics.MetricsWriter(directory / metrics.FILE_NAME)))
        if isinstance(task, AnsweringTask):
            path, followed = directory / predictions.FILE_NAME, task.problems("validation", training.eval_size)
            writer = predictions.PredictionsWriter(path, task, followed)
            self.predictions = opened.enter_context(closing(writer))
        steps = start_steps(self.model, self.optimizer, self.session.record.config, task.objective)
        self.steps = opened.enter_context(closing(steps))
        batches = make_batches(task, training, ahead=self.steps.waits, first=self.progress.step)
        self.batches = opened.enter_context(closing(batches))

    def finished(self) -> bool:
        """Whether there is no step left to do."""
        return self.progress.finished(self.training.steps, self.session.record.until)

    def checkpoint_due(self) -> bool:
        """Whether the step just done is to be saved."""
        return self.finished() or self.progress.step % self.training.checkpoint_every == 0

    def evaluation_due(self) -> bool:
        """Whether the model is to be evaluated after the step just done."""
        step = self.progress.step
        return step % self.training.eval_every == 0 or step == self.training.steps

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
        """A sentence that names a step, counted from 0, and the first tensor that is not finite, by its dotted name.

        The weights are those of before the step, so it is run again, unclipped, to look at every tensor.
        """
        training, objective = self.training, self.task.objective
        is_last = step + 1 == self.progress.step
        batch = self.batch if is_last else self.task.train_batch(step, training.batch, training.seed)
        normalizer, key = max(objective.count(batch), 1), dropout_key(training.seed, step)
        batch = batch.on_device_of(self.model.flat.values)
        loss_and_gradient(self.model, objective, batch, key, normalizer)
        name = first_nonfinite(self.model, lambda: objective.loss(self.model, batch, key))
        lost = not math.isfinite(result.loss)
        what = f"the loss is {result.loss}" if lost else f"the norm of the gradient is {result.gradient_norm}"
        where = f"{name} is the first tensor that is not finite" if name else "though every tensor is finite"
        return f"step {step + 1}: {what}; {where} (a lower --learning-rate or a longer --warmup may help)"

    def evaluate(self) -> dict[str, Any]:
        """Measure how the model does on the validation examples; returns what metrics tell.

        What it predicts for the first of them goes into `predictions.jsonl`.
        """
        progress = self.progress
        measured = self.task.evaluate(self.model, "validation", self.training.eval_size or None)
        progress.goal, progress.value, progress.measured = measured.goal, measured.value, progress.step
        if self.predictions is not None:
            self.predictions.append_prediction(progress.step, self.model)
        return metrics.evaluation_fields(measured)

    def save(self) -> None:
        """Save a checkpoint of the step just done, after all that was measured up to it."""
        for writer in (self.metrics, self.predictions):
            if writer is not None:
                writer.sync()
        folder, training = self.session.directory / checkpoints.FOLDER, self.training
        arrays = self.model.state_dict(), self.optimizer.state_dict()
        kept = training.keep_checkpoints
        path = checkpoints.save_checkpoint(folder, self.progress, *arrays, seed=training.seed, keep=kept)
        self.reporter.saved(self.progress.step, path)
