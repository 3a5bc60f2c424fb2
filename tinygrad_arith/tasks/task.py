"""What every task offers to the trainer, the evaluation and the commands."""

from typing import Any, Protocol

import numpy as np

from .batch import Batch, Problem, Problems
from .vocabulary import Vocabulary


class Task(Protocol):
    """A task: the only way in which training, evaluation and commands know what is being learned."""

    vocabulary: Vocabulary
    base: int  # of the digits in `Problems`
    context: int  # positions of every batch: T
    answer_length: int  # tokens of the longest answer, its end mark included
    train_size: int | None  # number of training problems; None if there are too many to list

    def train_batch(self, step: int, batch_size: int, seed: int) -> Batch:
        """The batch of a training step, (batch_size, T): a pure function of its arguments."""
        ...

    def train_problems(self, step: int, batch_size: int, seed: int) -> Problems:
        """The problems in that batch."""
        ...

    def problems(self, split: str, count: int) -> Problems:
        """The first `count` problems of the split "validation" or "test": always the same ones."""
        ...

    def batch(self, problems: Problems) -> Batch:
        """The problems with their right answers as a batch (n, T)."""
        ...

    def answers(self, problems: Problems) -> np.ndarray:
        """The right answers as token ids, int64 (n, answer_length), padded behind their end mark."""
        ...

    def answer_predictions(self, logits: Any, batch: Batch) -> np.ndarray:
        """What a model answers, from its logits (n, T, V) on whole problems: token ids, int64 (n, answer_length)."""
        ...

    def score(self, predictions: np.ndarray, problems: Problems) -> np.ndarray:
        """Which answers (n, answer_length) are right in full: bool (n,)."""
        ...

    def text(self, problems: Problems) -> list[Problem]:
        """The problems as people and prompts write them."""
        ...

    def statements(self, problems: Problems) -> list[str]:
        """The problems and their true results in decimal: `13 + 3 = 16`."""
        ...

    def parse(self, text: str) -> Problems:
        """The one problem that a person typed; ValueError with one sentence if it is none."""
        ...

    def describe(self) -> str:
        """The task in one line."""
        ...
