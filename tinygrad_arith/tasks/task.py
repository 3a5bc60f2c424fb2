"""What every task offers to training, whatever it is that is learned."""

from typing import Any, Protocol

from ..nn import Module
from ..objectives import Batch, Objective
from .metrics import Goal, Metrics, Preview
from .options import TaskOptions
from .vocabulary import Vocabulary


class Task(Protocol):
    """A task gives batches, and judges what was learned from them. Sizes: T = `context` positions.

    The class of a task has `options`, the class of its options, and `goal`. What the tasks of problems with answers
    offer beside is in `answering.py`.
    """

    objective: Objective
    goal: Goal
    pure_batches: bool  # whether a batch is a pure function of (step, size, seed): only then a run resumes to its bits
    vocabulary: Vocabulary
    context: int  # positions of every batch: T
    longest_context: int  # positions that a model of this task must have room for, at least `context`
    position_count: int  # ids that a batch may hold, 0 to position_count - 1: rows of a learned position table

    @classmethod
    def settled(cls, options: Any) -> Any:
        """The options with every size that was left to the task as a number; the task is made from these.

        Raises ValueError, one sentence that names the flag, where sizes do not fit.
        """
        ...

    @property
    def config(self) -> TaskOptions:
        """The options, whose sizes are settled: what the task is made from, in another process too."""
        ...

    @property
    def train_size(self) -> int | None:
        """The number of training examples; None if there are too many to list."""
        ...

    def train_batch(self, step: int, size: int, seed: int, rows: slice = slice(None)) -> Batch:
        """The batch of a training step, tokens (size, T), or those of its rows that are asked for."""
        ...

    def split_size(self, split: str) -> int:
        """How many examples the split "validation" or "test" holds."""
        ...

    def evaluate(self, model: Module, split: str, count: int | None = None) -> Metrics:
        """How a model does on the first `count` examples, or all, of the split "validation" or "test".

        Raises ValueError if the split holds fewer, UserError if there are none.
        """
        ...

    def preview(self, model: Module, metrics: Metrics) -> list[Preview]:
        """Some of what the model does on the examples of an evaluation, to look at."""
        ...

    def describe(self) -> str:
        """The task in one line."""
        ...
