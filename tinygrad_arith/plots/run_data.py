"""What pictures of a run are drawn from; what is dear (the model, evaluations) is made when first asked for."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..comparisons.finished_runs import is_finished, read_result
from ..options.errors import MisuseError, UserError
from ..run_files.metrics import checked_metrics
from ..run_files.predictions import FILE_NAME as PREDICTIONS
from ..run_files.predictions import Predictions, read_predictions
from ..training.build import make_task
from ..training.evaluation import Breakdown, Evaluation, break_down, evaluate_exact_match
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
        self.rows: list[dict[str, Any]] = checked_metrics(path, evaluated=("exact_match", "examples"))

    @property
    def evaluated(self) -> list[dict[str, Any]]:
        """The rows of the metrics with an evaluation."""
        return [row for row in self.rows if row.get("exact_match") is not None]

    @cached_property
    def task(self) -> Any:
        """The task of the run."""
        return make_task(self.record.config.task)

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
    def test_exact_match(self) -> float | None:
        """Exact match on the test problems at the end of training; None before it."""
        return read_result(self.path)["test_exact_match"] if is_finished(self.path) else None

    @cached_property
    def test_problems(self) -> Any:
        """As many test problems as were asked for. Raises MisuseError if there are not so many."""
        count = self.choices.count
        try:
            return self.task.problems("test", self.task.config.test_size if count is None else count)
        except ValueError as error:
            raise MisuseError(str(error) if count is None else f"--count {count}: {error}") from error

    @cached_property
    def evaluation(self) -> Evaluation:
        """The model's answers to the test problems."""
        return evaluate_exact_match(self.loaded.model, self.task, self.test_problems)

    @cached_property
    def breakdown(self) -> Breakdown:
        """Where the mistakes of `evaluation` lie."""
        return break_down(self.evaluation, self.task)

    def over_training(self, name: str) -> Curve:
        """Exact match on the validation problems against another number of the metrics: `step`, `examples`."""
        return Curve(
            np.array([row[name] for row in self.evaluated], dtype=np.float64),
            np.array([row["exact_match"] for row in self.evaluated], dtype=np.float64),
        )

    @cached_property
    def by_length(self) -> Curve:
        """Exact match for each length of the longer operand that has problems enough."""
        lengths = np.array(list(self.problems_by_length), dtype=np.float64)  # (n,)
        found = [evaluate_exact_match(self.loaded.model, *asked) for asked in self.problems_by_length.values()]
        return Curve(lengths, np.array([evaluation.exact_match for evaluation in found]))

    @cached_property
    def problems_by_length(self) -> dict[int, tuple[Any, Any]]:
        """For each length of the longer operand, up to the longest that the model has room for: a task, problems of it.

        A length of which there are fewer than `fewest` problems never trained on is left out.
        """
        found = {}
        for length in range(1, self.task.config.longest + 1):
            sources = (self.task, self.task.with_digits(length))
            task, problems = max(((task, self.of_length(task, length)) for task in sources), key=lambda p: len(p[1]))
            if len(problems) >= self.fewest:
                found[length] = task, problems
        return found

    @property
    def fewest(self) -> int:
        """Problems that a length must have for a point: `FEWEST`, or all if fewer were asked for."""
        return min(FEWEST, self.choices.count or FEWEST)

    def of_length(self, task: Any, length: int) -> Any:
        """Test problems of a task whose longer operand has so many digits."""
        problems = task.problems("test", task.config.test_size)
        return problems[np.maximum(*task.operand_lengths(problems)) == length][: self.choices.count or PER_LENGTH]

    def attention(self) -> tuple[list[np.ndarray], list[str]]:
        """The attention maps of one problem, (NH, T, T) a layer, and its tokens (T,)."""
        from ..models import attention_maps

        batch = self.task.batch(self.problem)
        row = batch.rows(slice(0, 1))  # of rows that are prefixes, the prompt
        tokens = row.tokens  # (1, T)
        maps = attention_maps(self.loaded.model, tokens, positions=row.positions, key_mask=row.key_mask)
        length = tokens.shape[1]
        if self.record.config.model.attend_to == "tokens":  # nobody looks at the padding behind the last token
            length = int(np.max(np.flatnonzero(tokens[0] != self.task.vocabulary.padding), initial=0)) + 1
        texts = [self.task.vocabulary.tokens[token] for token in tokens[0, :length]]
        return [to_numpy(layer)[0, :, :length, :length] for layer in maps], texts

    @cached_property
    def problem(self) -> Any:
        """The problem whose attention is drawn. Raises MisuseError if what was asked for is none."""
        if self.choices.problem is None:
            return self.first_problem()
        try:
            return self.task.parse(self.choices.problem)
        except ValueError as error:
            raise MisuseError(f"--problem {self.choices.problem}: {error}") from error

    def first_problem(self) -> Any:
        """The first validation problem."""
        return self.task.problems("validation", 1)

    def number_embeddings(self) -> np.ndarray:
        """The embeddings of the numbers 0 to p - 1 of modular addition, (p, C)."""
        ids = [self.task.vocabulary.ids[str(number)] for number in range(self.record.config.task.modulus)]
        return to_numpy(self.loaded.model.token_embedding.weight.array)[ids]
