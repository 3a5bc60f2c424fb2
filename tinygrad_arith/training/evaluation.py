"""How well a model does on problems it has not been trained on: exact match, loss, and where the mistakes lie.

One forward pass over whole problems tells what greedy decoding would get right (see `tasks/scoring.py`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import functions as F
from ..autograd import no_grad
from ..backend import on_device_of
from ..options.errors import UserError
from ..tasks import Task
from ..tasks.scoring import GroupScore, by_group, by_length_pair, by_position, share_in_fives, wilson_interval

BATCH = 500  # problems per forward pass


@dataclass(frozen=True)
class Evaluation:
    """The answers of a model to `n` problems, at least one.

    predictions: int64 (n, answer_length), the most likely token at each place, given the right ones before it
    right:       bool (n,), whether the whole answer is right
    loss:        nats per counted token of these problems, as in training
    """

    problems: Any
    predictions: np.ndarray
    right: np.ndarray
    loss: float

    @property
    def count(self) -> int:
        """How many problems there were."""
        return len(self.right)

    @property
    def correct(self) -> int:
        """How many of them were answered right in full."""
        return int(self.right.sum())

    @property
    def exact_match(self) -> float:
        """The share of problems answered right in full."""
        return self.correct / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of `exact_match` (Wilson)."""
        return wilson_interval(self.correct, self.count)


@dataclass(frozen=True)
class Breakdown:
    """Where the mistakes lie.

    by_group:    exact match by each of the task's groups: {"operand length": [...], "longest carry chain": [...]}
    by_position: the share of right tokens by their place in the answer, counted from 1 as written
    by_lengths:  exact match by both operands' digits, (correct, count), int64 (longest, longest) each, row = digits of
                 the first operand - 1; None for a task without two operands
    """

    by_group: dict[str, list[GroupScore]]
    by_position: list[GroupScore]
    by_lengths: tuple[np.ndarray, np.ndarray] | None


def evaluate_exact_match(model: Any, task: Task, problems: Any, batch_size: int = BATCH) -> Evaluation:
    """Let a model answer `problems`, `batch_size` at a time, without recording a tape.

    Raises UserError if there are none: no share of nothing is a measurement.
    """
    if not len(problems):
        raise UserError("there are no problems to evaluate the model on")
    predictions = np.zeros((len(problems), task.answer_length), dtype=np.int64)  # (n, answer_length)
    total, counted, done = 0.0, 0, 0
    with no_grad():
        for chunk in problems.chunks(batch_size):
            batch = task.batch(chunk)
            logits = model(batch.tokens, positions=batch.positions, key_mask=batch.key_mask)  # (B, T, V)
            predictions[done : done + len(chunk)] = task.answer_predictions(logits.data, batch)
            targets, weights = (on_device_of(logits.data, array) for array in (batch.targets, batch.weights))
            total += F.cross_entropy_sum(logits, targets, weights).item()
            counted += int(np.count_nonzero(batch.targets != -1))
            done += len(chunk)
    return Evaluation(problems, predictions, task.score(predictions, problems), total / max(counted, 1))


def position_scores(evaluation: Evaluation, task: Task) -> list[GroupScore]:
    """How many tokens are right at each place of the answer, counted from 1 as written."""
    return by_position(evaluation.predictions, task.answers(evaluation.problems), task.vocabulary.padding)


def in_fives(evaluation: Evaluation, task: Task) -> float | None:
    """The measure of the Julia article where a row is a prefix, see `share_in_fives`; else None."""
    if task.rows != "prefix":
        return None
    return share_in_fives(evaluation.predictions, task.answers(evaluation.problems), task.vocabulary.padding)


def break_down(evaluation: Evaluation, task: Task) -> Breakdown:
    """Where the mistakes of an evaluation lie."""
    problems, right = evaluation.problems, evaluation.right
    lengths = task.operand_lengths(problems)
    return Breakdown(
        by_group={title: by_group(right, groups) for title, groups in task.groups(problems).items()},
        by_position=position_scores(evaluation, task),
        by_lengths=None if lengths is None else by_length_pair(right, *lengths, longest_of(lengths)),
    )


def longest_of(lengths: tuple[np.ndarray, np.ndarray]) -> int:
    """The largest of the operands' lengths (n,), at least 1."""
    return int(max(np.max(array, initial=1) for array in lengths))
