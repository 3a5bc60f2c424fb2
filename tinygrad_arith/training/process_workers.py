"""Processes that share each batch: this one computes the first part, `process_worker_main.py` runs in the others.

Threads of one interpreter take turns at everything that is Python, and handing over the turn takes longer than many an
operation of a small model. Processes do not wait for each other; the weights and gradients lie in memory that all see.
"""

from ..backend import RandomKey
from ..nn import Module
from ..objectives import NEXT_TOKEN, Batch, Objective
from ..parallel.child_process import ChildProcess
from ..parallel.shared_arrays import SharedArrays
from .batch_parts import loss_and_gradient, split

WORKER = "tinygrad_arith.training.process_worker_main"
VALUES = 0  # the row of the weights; the gradients of part n are row n + 1


class ProcessWorkers:
    """Shares each batch's forward and backward among this process and `count` - 1 others.

    Until `close`, the model's flat arrays lie in shared memory.
    """

    def __init__(self, model: Module, count: int, objective: Objective = NEXT_TOKEN):
        self.model, self.objective = model, objective
        self.arrays = SharedArrays(count + 1, len(model.flat.values), model.flat.values.dtype)
        model.flat.move_to(self.arrays.rows[VALUES], self.arrays.rows[1])
        self.others = [ChildProcess(WORKER, model, objective, self.arrays.location, part) for part in range(1, count)]

    def forward_backward(self, batch: Batch, key: RandomKey) -> tuple[float, int]:
        """See `ThreadWorkers.forward_backward`: the same parts, the same sums, the same bits."""
        count = self.objective.count(batch)
        jobs, normalizer = split(batch, key, len(self.others) + 1), max(count, 1)
        busy = self.others[: len(jobs) - 1]
        for other, job in zip(busy, jobs[1:], strict=True):
            other.send(*job, normalizer)
        try:
            total = loss_and_gradient(self.model, self.objective, *jobs[0], normalizer)
        finally:  # every answer is read, so that none is left for the next batch
            answers = [other.receive() for other in busy]
        for part, answer in enumerate(answers, start=1):
            if isinstance(answer, Exception):
                raise answer
            total += answer
            self.model.flat.gradients += self.arrays.rows[part + 1]
        return total / normalizer, count

    def close(self) -> None:
        """Ends the processes."""
        for other in self.others:
            other.close()
        flat = self.model.flat
        flat.bind(flat.values.copy(), flat.gradients.copy())
        self.arrays.close()
