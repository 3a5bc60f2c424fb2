"""What every task offers to the trainer, the evaluation and the commands."""

from typing import Any, Protocol

import numpy as np

from ..objectives import Batch
from .batch import Problem
from .config import TaskConfig
from .vocabulary import Vocabulary


class Task(Protocol):
    """A task: the only way in which training, evaluation and commands know what is being learned.

    `Problems` below are whatever the task calls so: for two operands of digits the class of that name. They have a
    length, `problems[rows]` takes a slice, an index array or a bool mask, and `problems.chunks(size)` goes through
    them in order.

    A row of a batch is a whole sample with all its next tokens (`rows` = "whole"), or one prefix of a sample with the
    one token that follows it (`rows` = "prefix"). Sizes: n problems, T = `context` positions, V tokens.
    """

    config: TaskConfig  # resolved
    vocabulary: Vocabulary
    context: int  # positions of every batch: T
    longest_context: int  # positions that a model of this task must have room for, at least `context`
    position_count: int  # ids that a batch may hold, 0 to position_count - 1: rows of a learned position table
    answer_length: int  # tokens of the longest answer, its end mark included
    rows: str  # "whole" or "prefix"
    train_size: int | None  # number of training problems; None if there are too many to list

    def train_batch(self, step: int, batch_size: int, seed: int) -> Batch:
        """The batch of a training step: a pure function of its arguments.

        Tokens (batch_size, T), and targets of the same shape, or (batch_size, 1) where a row is a prefix.
        """
        ...

    def train_problems(self, step: int, batch_size: int, seed: int) -> Any:
        """The problems of that batch's rows."""
        ...

    def problems(self, split: str, count: int) -> Any:
        """The first `count` problems of the split "validation" or "test": always the same ones.

        Raises ValueError if the split holds fewer.
        """
        ...

    def batch(self, problems: Any) -> Batch:
        """The problems with their right answers as a batch (n, T).

        Where a row is a prefix: (n * answer_length, T), all prefixes of the first problem, then those of the next;
        targets (n * answer_length, 1) are -1 where the answer has ended.
        """
        ...

    def prompt(self, problem: Any) -> Batch:
        """One problem up to and including its `=`, for generation: tokens (1, Tp), targets all -1.

        positions: None, or (1, Tp + answer_length): those of the answer to come too. key_mask: likewise
        """
        ...

    def answers(self, problems: Any) -> np.ndarray:
        """The right answers as token ids, int64 (n, answer_length), padded behind their end mark."""
        ...

    def answer_predictions(self, logits: Any, batch: Batch) -> np.ndarray:
        """What a model answers, from its logits on `batch(problems)`: token ids, int64 (n, answer_length).

        logits (n, T, V), or (n * answer_length, 1, V) where a row is a prefix.
        """
        ...

    def score(self, predictions: np.ndarray, problems: Any) -> np.ndarray:
        """Which answers (n, answer_length) are right in full: bool (n,)."""
        ...

    def groups(self, problems: Any) -> dict[str, np.ndarray]:
        """By what an evaluation is broken down: int64 (n,) by title, such as "operand length"."""
        ...

    def operand_lengths(self, problems: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """The digits of the first and of the second operand, int64 (n,) each; None where there are not two operands."""
        ...

    def with_digits(self, digits: int) -> "Task":
        """The same task for operands of at most so many digits, up to the model's longest; no problem of its held-out
        splits was trained on. Their sizes may be smaller, where there are not as many: see its `config`.

        Raises ValueError where the model has no room for them or the task has no digits.
        """
        ...

    def text(self, problems: Any) -> list[Problem]:
        """The problems as people and prompts write them, without padding."""
        ...

    def statements(self, problems: Any) -> list[str]:
        """The problems and their true results in decimal: `13 + 3 = 16`."""
        ...

    def parse(self, text: str) -> Any:
        """The one problem that a person typed; ValueError with one sentence if it is none."""
        ...

    def describe(self) -> str:
        """The task in one line."""
        ...
