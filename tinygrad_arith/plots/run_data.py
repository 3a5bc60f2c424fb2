"""What pictures of a run are drawn from; what is dear (the model, evaluations) is made when first asked for."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..comparisons.finished_runs import is_finished, read_result
from ..models.attention_maps import attention_maps
from ..options.errors import MisuseError, UserError
from ..run_files.metrics import checked_metrics, evaluated_rows, goal_field
from ..run_files.predictions import FILE_NAME as PREDICTIONS
from ..run_files.predictions import Predictions, read_predictions
from ..tasks import Task
from ..tasks.answering import AnsweringTask, answering
from ..tasks.metrics import Breakdown, Metrics
from ..training.build import make_task
from ..training.runs import LoadedRun, RunRecord, load_run, read_record
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


class RunData:
    """A run as pictures see it. Raises UserError if the directory holds none, or its metrics are damaged."""

    def __init__(self, path: Path, choices: Choices):
        self.path, self.choices = path, choices
        self.record: RunRecord = read_record(path)
        self.task: Task = make_task(self.record.config.task)
        self.goal = self.task.goal
        self.rows: list[dict[str, Any]] = checked_metrics(path, self.goal, evaluated=("examples",))

    @property
    def evaluated(self) -> list[dict[str, Any]]:
        """The rows of the metrics with an evaluation."""
        return evaluated_rows(self.rows, self.goal)

    @property
    def answering(self) -> AnsweringTask:
        """The task, of which pictures are drawn that need problems with answers; UserError where it is another."""
        return answering(self.task, "this picture")

    @property
    def loaded(self) -> LoadedRun:
        """The model as of the newest checkpoint. Raises UserError, each time anew, if it cannot be loaded."""
        if isinstance(self.loaded_or_error, UserError):
            raise self.loaded_or_error
        return self.loaded_or_error

    @cached_property
    def loaded_or_error(self) -> LoadedRun | UserError:
        """The model, or why there is none: damaged checkpoints are read, and warned of, once."""
        try:
            return load_run(self.path, self.choices.device)
        except UserError as error:
            return error

    @cached_property
    def predictions(self) -> Predictions | None:
        """What the model predicted over training; None where nothing was kept."""
        return read_predictions(self.path / PREDICTIONS)

    @cached_property
    def test_value(self) -> float | None:
        """The goal metric on the test split at the end of training; None before it."""
        return read_result(self.path)[f"test_{self.goal.name}"] if is_finished(self.path) else None

    def check_count(self) -> None:
        """Raise MisuseError if the test split does not hold as many problems as were asked for."""
        count, size = self.choices.count, self.task.split_size("test")
        if count is not None and count > size:
            raise MisuseError(f"--count {count}: the test split holds {size:,} problems, not {count:,}")

    @cached_property
    def metrics(self) -> Metrics:
        """How the model does on as many test problems as were asked for."""
        return self.task.evaluate(self.loaded.model, "test", self.choices.count)

    @cached_property
    def kinds_of_breakdown(self) -> dict[str, type[Breakdown]]:
        """Which breakdowns an evaluation has, by name: as one of a single problem tells."""
        single = self.task.evaluate(self.loaded.model, "validation", 1)
        return {name: type(part) for name, part in single.breakdowns.items()}

    def over_training(self, name: str) -> Curve:
        """The goal metric on the validation problems against another number of the metrics: `step`, `examples`."""
        values = ([row[field] for row in self.evaluated] for field in (name, goal_field(self.goal)))
        return Curve(*(np.array(value, dtype=np.float64) for value in values))

    @cached_property
    def by_length(self) -> Curve:
        """Exact match for each length of the longer operand that has problems enough."""
        lengths = np.array(list(self.tests_by_length), dtype=np.float64)  # (n,)
        found = [task.judge(self.loaded.model, problems).value for task, problems in self.tests_by_length.values()]
        return Curve(lengths, np.array(found))

    @cached_property
    def tests_by_length(self) -> dict[int, tuple[AnsweringTask, Any]]:
        """For each length of problems that the model has room for: a task, and test problems of it."""
        return self.answering.tests_by_length(self.fewest, self.choices.count or PER_LENGTH)

    @property
    def fewest(self) -> int:
        """Problems that a length must have for a point: `FEWEST`, or all if fewer were asked for."""
        return min(FEWEST, self.choices.count or FEWEST)

    def attention(self) -> tuple[list[np.ndarray], list[str]]:
        """The attention maps of one problem, (NH, T, T) a layer, and its tokens (T,).

        The padding behind the last token is left out, unless a token looks at it.
        """
        row = self.answering.batch(self.problem).rows(slice(0, 1))  # of rows that are prefixes, the prompt
        found = attention_maps(self.loaded.model, row.tokens, positions=row.positions, key_mask=row.key_mask)
        maps, vocabulary = [to_numpy(layer)[0] for layer in found], self.task.vocabulary  # (NH, T, T) a layer
        last = int(np.max(np.flatnonzero(row.tokens[0] != vocabulary.padding), initial=0))
        looked_at = np.flatnonzero(sum(layer[:, : last + 1].sum(axis=(0, 1)) for layer in maps))
        length = 1 + max(last, int(np.max(looked_at, initial=0)))
        texts = [vocabulary.tokens[token] for token in row.tokens[0, :length]]
        return [layer[:, :length, :length] for layer in maps], texts

    @cached_property
    def problem(self) -> Any:
        """The problem whose attention is drawn. Raises MisuseError if what was asked for is none."""
        if self.choices.problem is None:
            return self.answering.problems("validation", 1)
        try:
            return self.answering.parse(self.choices.problem)
        except ValueError as error:
            raise MisuseError(f"--problem {self.choices.problem}: {error}") from error

    def number_embeddings(self) -> np.ndarray:
        """The embeddings of the numbers 0 to p - 1 of modular arithmetic, (p, C)."""
        return to_numpy(self.loaded.model.token_embedding.weight.array)[self.answering.number_tokens()]
