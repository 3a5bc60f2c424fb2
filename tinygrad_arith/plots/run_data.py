"""What pictures of a run are drawn from; what takes time (the model, evaluations) is made when first asked for."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..comparisons.finished_runs import is_finished
from ..files.reading import is_number
from ..models.attention_maps import attention_maps
from ..options.errors import MisuseError, UserError
from ..options.words import shortened
from ..run_files.checkpoints import FOLDER as CHECKPOINTS
from ..run_files.checkpoints import complete_checkpoints
from ..run_files.metrics import FILE_NAME as METRICS
from ..run_files.metrics import checked_metrics, evaluated_rows
from ..run_files.predictions import FILE_NAME as PREDICTIONS
from ..run_files.predictions import Predictions, read_predictions
from ..run_files.result import read_result_file
from ..tasks import Task
from ..tasks.answering import AnsweringTask
from ..tasks.metrics import Metrics
from ..training.build import make_task
from ..training.runs import RESULT_FILE, LoadedRun, load_run, read_record, read_record_alone
from ..training.task_files import is_own
from .series import Curve

PER_LENGTH = 1000  # problems of each operand length, unless told otherwise
FEWEST = 10  # problems of a length that are worth a point


@dataclass(frozen=True)
class Choices:
    """What a picture shows where there is a choice: how many test problems, which problem, which sample."""

    count: int | None = None  # test problems; None: all of them, of each operand length `PER_LENGTH`
    problem: str | None = None  # whose attention is drawn; None: the first validation problem
    sample: int = 1  # of those in predictions.jsonl, from 1
    device: str = "cpu"


class Lacking(UserError):
    """What a run has not, as the end of a sentence: it is lacking, not damaged."""


class RunData:
    """A run as pictures see it. Raises UserError if the directory holds none, or its metrics are damaged.

    evaluated:      the rows of the metrics with an evaluation
    why_no_task:    why the task, which was asked for, cannot be made: its file is gone, or cannot be run
    fewest:         problems that a length must have for a point: `FEWEST`, or all if fewer were asked for
    """

    def __init__(self, path: Path, choices: Choices):
        self.path, self.choices = path, choices
        self.record = read_record_alone(path)
        self.goal = self.record.goal
        self.why_no_task: str | None = None
        if not is_own(self.record.config.task.kind):
            self.task = make_task(self.record.config.task)
        self.rows = checked_metrics(path, self.goal, evaluated=("examples",))
        self.evaluated = evaluated_rows(self.rows, self.goal)
        self.fewest = min(FEWEST, choices.count or FEWEST)

    @cached_property
    def task(self) -> Task:
        """The task, for which a user's file is run; raises Lacking where that is gone, or cannot be run."""
        try:
            return make_task(read_record(self.path).config.task)
        except UserError as error:
            self.why_no_task = str(error)
            raise Lacking(f"its task cannot be made: {error}") from error

    @property
    def trained_length(self) -> int | None:
        """Of the longest problems in training; None where they have no length."""
        return self.task.trained_length if isinstance(self.task, AnsweringTask) else None

    @property
    def answering(self) -> AnsweringTask:
        """The task, for pictures that need problems with answers; raises Lacking where it has none."""
        if not isinstance(self.task, AnsweringTask):
            raise Lacking("its task is none of problems with answers")
        return self.task

    @cached_property
    def loaded(self) -> LoadedRun | UserError:
        """The run with its model, or why there is none: damaged checkpoints are read, and warned of, once."""
        if not complete_checkpoints(self.path / CHECKPOINTS):
            return Lacking("it has no checkpoint yet")
        try:
            return load_run(self.path, self.choices.device)
        except UserError as error:
            return error

    @property
    def model(self) -> Any:
        """The model as of the newest checkpoint; raises Lacking if there is none yet, UserError if none is whole."""
        if isinstance(self.loaded, UserError):
            raise self.loaded
        return self.loaded.model

    def rows_with(self, name: str) -> list[dict[str, Any]]:
        """The rows of the metrics that tell of something that an evaluation measures; raises Lacking if none does."""
        found = [row for row in self.rows if row.get(name) not in (None, [])]
        if not found:
            raise Lacking(f"its {METRICS} tells no {name}" if self.evaluated else "it was not evaluated yet")
        return found

    @cached_property
    def predictions(self) -> Predictions | None:
        """What the model predicted over training; None where nothing was kept."""
        return read_predictions(self.path / PREDICTIONS)

    @property
    def test_value(self) -> float | None:
        """The goal metric on the test split at the end of training; None before it."""
        if not is_finished(self.path):
            return None
        result, name = read_result_file(self.path / RESULT_FILE), f"test_{self.goal.name}"
        if not is_number(result.get(name)):
            raise UserError(f"{self.path / RESULT_FILE}: not a result of this run's task: it lacks the number {name}")
        return result[name]

    def check_count(self) -> None:
        """Raise MisuseError if the test split does not hold as many problems as were asked for."""
        count, size = self.choices.count, self.task.split_size("test")
        if count is not None and count > size:
            raise MisuseError(f"--count {count}: the test split holds {size:,} problems, not {count:,}")

    @cached_property
    def metrics(self) -> Metrics:
        """How the model does on as many test problems as were asked for."""
        return self.task.evaluate(self.model, "test", self.choices.count)

    @cached_property
    def metrics_of_one(self) -> Metrics:
        """Those of a single problem: they have the breakdowns that those of all have."""
        return self.task.evaluate(self.model, "validation", 1)

    @cached_property
    def by_length(self) -> Curve:
        """Exact match for each length of the longer operand that has problems enough."""
        lengths = np.array(list(self.tests_by_length), dtype=np.float64)  # (n,)
        found = [task.judge(self.model, problems).value for task, problems in self.tests_by_length.values()]
        return Curve(lengths, np.array(found))

    @cached_property
    def tests_by_length(self) -> dict[int, tuple[AnsweringTask, Any]]:
        """For each length of problems that the model has room for: a task, and test problems of it."""
        return self.answering.tests_by_length(self.fewest, self.choices.count or PER_LENGTH)

    def attention(self) -> tuple[list[np.ndarray], list[str], int]:
        """The attention maps of one problem, see `attention_of`."""
        return attention_of(self.model, self.answering, self.problem)

    @cached_property
    def problem(self) -> Any:
        """The problem whose attention is drawn. Raises MisuseError if what was asked for is none."""
        if self.choices.problem is None:
            return self.answering.problems("validation", 1)
        try:
            return self.answering.read(self.choices.problem).problem
        except ValueError as error:
            raise MisuseError(f"--problem {shortened(self.choices.problem)}: {error}") from error


def attention_of(model: Any, task: AnsweringTask, problem: Any) -> tuple[list[np.ndarray], list[str], int]:
    """The attention maps of one problem with its right answer, (NH, T, T) a layer, its tokens (T,), and where
    its answer begins.

    The padding behind the last token is left out, unless a token looks at it.
    """
    row = task.batch(problem).rows(slice(0, 1))  # of rows that are prefixes, the prompt
    found = attention_maps(model, row.tokens, positions=row.positions, key_mask=row.key_mask)
    maps, vocabulary = [to_numpy(layer)[0] for layer in found], task.vocabulary  # (NH, T, T) a layer
    last = int(np.max(np.flatnonzero(row.tokens[0] != vocabulary.padding), initial=0))
    looked_at = np.flatnonzero(sum(layer[:, : last + 1].sum(axis=(0, 1)) for layer in maps))
    length = 1 + max(last, int(np.max(looked_at, initial=0)))
    texts = [vocabulary.tokens[token] for token in row.tokens[0, :length]]
    answer = 1 + int(task.equals_place(row.tokens)[0])
    return [layer[:, :length, :length] for layer in maps], texts, answer
