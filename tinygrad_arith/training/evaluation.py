"""How well a model does on problems it has not been trained on: exact match, and where the mistakes lie.

One forward pass over whole problems tells what greedy decoding would get right (see `tasks/scoring.py`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..tasks import Problems, Task
from ..tasks.digits import longest_carry_chain, significant_lengths
from ..tasks.scoring import GroupScore, by_group, by_length_pair, by_position, wilson_interval

BATCH = 500  # problems per forward pass


@dataclass(frozen=True)
class Evaluation:
    """The answers of a model to `n` problems.

    predictions: int64 (n, answer_length), the most likely token at each place, given the right ones before it
    right:       bool (n,), whether the whole answer is right
    """

    problems: Problems
    predictions: np.ndarray
    right: np.ndarray

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
        """The share of problems answered right in full; 0 where there were none."""
        return self.correct / max(1, self.count)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of `exact_match` (Wilson)."""
        return wilson_interval(self.correct, self.count)


@dataclass(frozen=True)
class Breakdown:
    """Where the mistakes lie: exact match by the longer operand's digits, by the longest carry chain and by both
    operands' digits, and the share of right tokens by their place in the answer.

    by_lengths: (correct, count), int64 (longest, longest) each; row = digits of the first operand - 1
    """

    by_length: list[GroupScore]
    by_carry_chain: list[GroupScore]
    by_position: list[GroupScore]
    by_lengths: tuple[np.ndarray, np.ndarray]


def evaluate_exact_match(model: Any, task: Task, problems: Problems, batch_size: int = BATCH) -> Evaluation:
    """Let a model answer `problems`, `batch_size` at a time, without recording a tape."""
    predictions = np.zeros((len(problems), task.answer_length), dtype=np.int64)  # (n, answer_length)
    done = 0
    with no_grad():
        for chunk in problems.chunks(batch_size):
            batch = task.batch(chunk)
            logits = model(batch.tokens, positions=batch.positions, key_mask=batch.key_mask)  # (B, T, V)
            predictions[done : done + len(chunk)] = task.answer_predictions(logits.data, batch)
            done += len(chunk)
    return Evaluation(problems, predictions, task.score(predictions, problems))


def break_down(evaluation: Evaluation, task: Task) -> Breakdown:
    """Where the mistakes of an evaluation lie."""
    problems, right = evaluation.problems, evaluation.right
    first, second = significant_lengths(problems.first), significant_lengths(problems.second)
    return Breakdown(
        by_length=by_group(right, np.maximum(first, second)),
        by_carry_chain=by_group(right, longest_carry_chain(problems.first, problems.second, task.base)),
        by_position=by_position(evaluation.predictions, task.answers(problems), task.vocabulary.padding),
        by_lengths=by_length_pair(right, first, second, problems.first.shape[1]),
    )
