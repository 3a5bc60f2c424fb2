"""The training batches of a run, one after another: made when they are asked for, or ahead by other processes.

A batch of a small model takes Python longer to make than it takes a GPU to learn from. Where a batch is a pure
function of (step, size, seed), any process may make it: each of `makers` makes every `makers`-th one. A pipe holds less
than a batch, so a maker is never further ahead than the one that it is writing. This file is also what runs in each.
"""

import itertools

from ..objectives import Batch
from ..options.errors import UserError
from ..parallel.child_process import ChildProcess, Parent
from ..tasks import Task, build_task
from ..tasks.user_tasks import fault_of_user_task
from .config import TrainingOptions


def make_batches(task: Task, training: TrainingOptions, *, ahead: bool, first: int = 0) -> "Batches":
    """The batches of a training from step `first` on, to be closed after use.

    ahead: whether other processes may make them ahead: while a GPU computes, this process has little else to do
    """
    makers = training.batch_makers if ahead and task.pure_batches else 0
    return Batches(task, training.batch, training.seed, first, makers)


class Batches:
    """Batches made by `makers` processes, to be asked for in the order of the steps, from `first` on; without makers
    each is made when it is asked for.
    """

    def __init__(self, task: Task, size: int, seed: int, first: int = 0, makers: int = 0):
        self.task, self.size, self.seed, self.first = task, size, seed, first
        advice = "--batch-makers 0 does without processes"
        self.makers = [
            ChildProcess(__name__, task.config, size, seed, first + index, makers, advice=advice)
            for index in range(makers)
        ]

    def at(self, step: int) -> Batch:
        """The batch of a step, counted from 0. Raises the error that its maker met, if it met one."""
        if not self.makers:
            return self.task.train_batch(step, self.size, self.seed)
        answer = self.makers[(step - self.first) % len(self.makers)].receive()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Ends the processes."""
        for maker in self.makers:
            maker.close()


def main() -> None:
    """A maker: takes (task's options, batch size, seed, first step, stride); answers with one batch after another."""
    parent = Parent()
    config, size, seed, first, stride = next(parent.messages())
    try:
        task = build_task(config)
        for step in itertools.count(first, stride):
            parent.answer(task.train_batch(step, size, seed))
    except Exception as error:
        fault = fault_of_user_task(error)  # told here, since an answer carries no traceback
        parent.answer(error if fault is None else UserError(fault))


if __name__ == "__main__":
    main()
