"""One batch, several cores: each worker takes a part of the batch through the whole model and back.

Each worker has a replica of the model: the same weights, gradients of its own, added up at the end. A loss is a sum
over targets and its normaliser comes from outside, so the parts add up to the loss and the gradient of the whole batch.

So many workers take the same parts in every run, and these are added in a fixed order: the same seed gives the same
bits. Another number of workers computes the same, with the same dropout masks, but rounds its sums differently.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..backend import RandomKey
from ..nn import Module
from ..objectives import NEXT_TOKEN, Batch, Objective


def loss_and_gradient(model: Module, objective: Objective, batch: Batch, key: RandomKey, normalizer: int) -> float:
    """The summed loss of a batch; the gradient of that sum / normalizer is in `model.flat.gradients` afterwards."""
    # NumPy's warnings, which are set for each thread, are off: the trainer looks at the loss and the gradient once.
    with np.errstate(all="ignore"), model.flat.fresh_gradients():
        loss = objective.loss(model, batch, key).total  # ()
        loss.backward(1.0 / normalizer)
    return loss.item()


def split(batch: Batch, key: RandomKey, parts: int) -> list[tuple[Batch, RandomKey]]:
    """The parts of a batch, at most `parts`, none of them empty; each with the key of its dropout masks, which are its
    rows of the whole batch's.
    """
    bounds = np.array_split(np.arange(len(batch.tokens)), parts)
    return [(batch.rows(slice(rows[0], rows[-1] + 1)), key.at(row=int(rows[0]))) for rows in bounds if len(rows)]


class Workers:
    """Threads that share each batch's forward and backward; with a count of 1 there are none."""

    def __init__(self, model: Module, count: int, objective: Objective = NEXT_TOKEN):
        self.model, self.objective = model, objective
        self.replicas = [model, *(model.replica() for _ in range(count - 1))]
        self.pool = ThreadPoolExecutor(count - 1, "worker", hold_products_to_one_thread) if count > 1 else None

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


def hold_products_to_one_thread() -> None:
    """For a thread beside others: MKL, unlike OpenBLAS, keeps a number of threads for each thread that calls it."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1, user_api="blas")
