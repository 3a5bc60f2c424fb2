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

from ..nn import Module
from ..options.errors import UserError
from ..parallel.interrupts import StopSignals
from ..run_files.checkpoints import FOLDER as CHECKPOINTS
from ..run_files.checkpoints import Checkpoint, Progress, save_checkpoint
from ..run_files.metrics import FILE_NAME as METRICS
from ..run_files.metrics import MetricsWriter, evaluation_fields
from ..run_files.predictions import FILE_NAME as PREDICTIONS
from ..run_files.predictions import PredictionsWriter
from ..tasks import Task
from ..tasks.answering import AnsweringTask
from .batches import Batches, BatchesAhead, make_batches
from .config import Config
from .reporter import Reporter
from .step_result import StepResult, dropout_key
from .steps import Optimizer, Steps, explain_nonfinite, is_finite, start_steps

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


class Trainer:
    """Trains a model on a task, in a run directory: steps, evaluates, measures, saves; tells a Reporter about it."""

    def __init__(
        self,
        config: Config,
        task: Task,
        model: Module,
        optimizer: Optimizer,
        directory: Path,
        *,
        until: float | None = None,
        reporter: Reporter | None = None,
    ):
        self.config, self.task, self.model, self.optimizer = config, task, model, optimizer
        self.directory = directory
        self.until = until
        self.reporter = reporter or Reporter()
        self.progress = Progress(goal=task.goal)
        self.under_way = 0  # steps that were enqueued since the last look
        self.began = 0.0  # when the first of them was
        # While `run` runs:
        self.steps: Steps
        self.batches: Batches | BatchesAhead
        self.metrics: MetricsWriter
        self.predictions: PredictionsWriter | None = None  # None for a task without answers

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint: weights, optimizer state and progress.

        Raises ValueError or KeyError if they belong to another model.
        """
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.progress = checkpoint.progress

    def run(self) -> Outcome:
        """Train until the last step, the goal of `until`, a signal, or a failure of the output; then save."""
        with ExitStack() as opened:
            self.open(opened)
            signals = opened.enter_context(StopSignals())
            while not self.finished():
                self.enqueue()
                if not (self.look_due() or signals.received):
                    continue
                for row in self.look():
                    self.metrics.append(row)
                    self.reporter.stepped(row)
                outcome = self.outcome(signals)
                if self.checkpoint_due() or outcome.stopped:
                    self.save()
                if outcome.stopped:
                    return outcome
        return self.outcome(signals)  # asked again: a signal may have come while the last step was saved

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

    def outcome(self, signals: StopSignals) -> Outcome:
        """What there is by now that stops the training."""
        return Outcome(signals.received, self.reporter.output_error)

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

    def enqueue(self) -> None:
        """Hands the next batch to whatever runs the steps."""
        if self.under_way == 0:
            self.began = time.perf_counter()
        step = self.progress.step
        self.steps.enqueue(self.batches.at(step), step)
        self.progress.step += 1
        self.under_way += 1

    def look(self) -> Iterator[dict[str, Any]]:
        """The rows for the metrics, one for each step since the last look; an evaluation, where due, is in the last.

        Raises UserError, after the rows before it, if a step was not finite.
        """
        results = self.steps.results()
        trained = time.perf_counter() - self.began
        first, examples = self.progress.step - len(results), self.progress.examples
        made = list(itertools.takewhile(is_finite, results))
        for result in made:
            self.progress.examples += result.examples
        evaluated = len(made) == len(results) and self.evaluation_due()
        measured = self.evaluate() if evaluated else {}
        speed = round(sum(result.examples for result in results) / trained, 1)
        before, elapsed = self.progress.seconds, time.perf_counter() - self.began
        self.progress.seconds += elapsed
        self.under_way = 0
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
        training = self.config.training
        batch = self.task.train_batch(step, training.batch, training.seed)
        key = dropout_key(training.seed, step)
        return explain_nonfinite(self.steps, batch, key, result.loss, result.gradient_norm)

    def evaluate(self) -> dict[str, Any]:
        """Measure how the model does on the validation examples; returns what metrics tell.

        What it predicts for the first of them goes into `predictions.jsonl`.
        """
        progress = self.progress
        metrics = self.task.evaluate(self.model, "validation", self.config.training.eval_size or None)
        progress.goal, progress.value = metrics.goal, metrics.value
        progress.measured = progress.step
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
