"""The training batches of a run, one after another: made when they are asked for, or ahead by other processes.

A batch of a small model takes Python longer to make than it takes a GPU to learn from. Where a batch is a pure
function of (step, size, seed), any process may make it: each of `makers` makes every `makers`-th one. A pipe holds less
than a batch, so a maker is never further ahead than the one that it is writing.
"""

from ..objectives import Batch
from ..parallel.child_process import ChildProcess
from ..tasks import Task
from .config import TrainingOptions

MAKER = "tinygrad_arith.training.batch_maker"


def make_batches(task: Task, training: TrainingOptions, *, ahead: bool, first: int = 0) -> "Batches | BatchesAhead":
    """The batches of a training from step `first` on, to be closed after use.

    ahead: whether other processes may make them ahead: while a GPU computes, this process has little else to do
    """
    if ahead and training.batch_makers and task.pure_batches:
        return BatchesAhead(task, training.batch, training.seed, first, training.batch_makers)
    return Batches(task, training.batch, training.seed)


class Batches:
    """Makes each batch when it is asked for."""

    def __init__(self, task: Task, size: int, seed: int):
        self.task, self.size, self.seed = task, size, seed

    def at(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""
        return self.task.train_batch(step, self.size, self.seed)

    def close(self) -> None:
        """There is nothing to end."""


class BatchesAhead:
    """Batches made by `makers` processes, to be asked for in the order of the steps, from `first` on."""

    def __init__(self, task: Task, size: int, seed: int, first: int, makers: int):
        advice = "--batch-makers 0 does without processes"
        self.makers = [
            ChildProcess(MAKER, task.config, size, seed, first + index, makers, advice=advice)
            for index in range(makers)
        ]
        self.first = first

    def at(self, step: int) -> Batch:
        """The batch of a step. Raises the error that its maker met, if it met one."""
        answer = self.makers[(step - self.first) % len(self.makers)].receive()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Ends the processes."""
        for maker in self.makers:
            maker.close()
