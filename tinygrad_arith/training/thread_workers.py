"""Threads that share each batch: each takes a part of it through the whole model and back.

Each thread has a replica of the model: the same weights, gradients of its own, added up at the end.
"""

from concurrent.futures import ThreadPoolExecutor

from ..backend import RandomKey
from ..nn import Module
from ..objectives import NEXT_TOKEN, Batch, Objective
from .batch_parts import loss_and_gradient, split


class ThreadWorkers:
    """Threads that share each batch's forward and backward; with a count of 1 there are none."""

    def __init__(self, model: Module, count: int, objective: Objective = NEXT_TOKEN):
        self.model, self.objective = model, objective
        self.replicas = [model, *(model.replica() for _ in range(count - 1))]
        self.pool = ThreadPoolExecutor(count - 1, "worker", hold_blas_to_one_thread) if count > 1 else None

    def forward_backward(self, batch: Batch, key: RandomKey) -> tuple[float, int]:
        """The loss of a batch; its gradient is in the model's flat buffer afterwards.

        Returns (the mean of the terms that the objective counts, their count). The gradient is that of the mean.
        """
        count = self.objective.count(batch)
        parts, normalizer = split(batch, key, len(self.replicas)), max(count, 1)
        jobs = [(each, self.objective, *part, normalizer) for each, part in zip(self.replicas, parts, strict=False)]
        others = [self.pool.submit(loss_and_gradient, *job) for job in jobs[1:]] if self.pool else []
        total = loss_and_gradient(*jobs[0])  # this thread is a worker too
        for other, (replica, *_) in zip(others, jobs[1:], strict=True):
            total += other.result()
            self.replicas[0].flat.gradients += replica.flat.gradients
        return total / normalizer, count

    def close(self) -> None:
        """Ends the threads."""
        if self.pool is not None:
            self.pool.shutdown()


def hold_blas_to_one_thread() -> None:
    """For a thread beside others: MKL, unlike OpenBLAS, has a setting of its own for each thread that calls it."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1, user_api="blas")
