"""The main function of each process that `batches.py` starts: makes one in so many of the training batches."""

import itertools

from ..options.errors import UserError
from ..parallel.child_process import Parent
from ..tasks import build_task
from ..tasks.user_tasks import fault_of_user_task


def main() -> None:
    """Takes (task's configuration, batch size, seed, first step, stride); answers with one batch after another."""
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
