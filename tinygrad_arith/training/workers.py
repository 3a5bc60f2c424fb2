"""Workers that share each batch: each takes a part of it through the whole model and back.

A loss is a sum over targets and its normaliser comes from outside, so the losses and gradients of the parts add up to
those of the whole batch. As many workers take the same parts in every run, and these are added in a fixed order: the
same seed gives the same bits. Another number of workers computes the same, with the same dropout masks, but rounds its
sums differently.

Threads of one interpreter take turns at everything that is Python, and handing over the turn takes longer than many an
operation of a small model. Processes do not wait for each other; the weights and gradients lie in memory that all see.
This file is also what runs in each of the processes.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ..backend import RandomKey
from ..nn import Module
from ..objectives import NEXT_TOKEN, Batch, Objective
from ..parallel.child_process import ChildProcess, Parent
from ..parallel.shared_arrays import SharedArrays, map_arrays
from .threads import settle_process


def loss_and_gradient(model: Module, objective: Objective, batch: Batch, key: RandomKey, normalizer: int) -> float:
    """The summed loss of a batch; the gradient of that sum / normalizer is in `model.flat.gradients` afterwards."""
    # NumPy's warnings, which are set for each thread, are off: the trainer looks at the loss and the gradient once.
    with np.errstate(all="ignore"), model.flat.fresh_gradients():
        loss = objective.loss(model, batch, key).total  # ()
        loss.backward(1.0 / normalizer)
    return loss.item()


def loss_or_error(model: Module, objective: Objective, *job: Any) -> float | Exception:
    """The same, with an error as its answer: those of another worker are to be raised in this one."""
    try:
        return loss_and_gradient(model, objective, *job)
    except Exception as error:
        return error


def split(batch: Batch, key: RandomKey, parts: int) -> list[tuple[Batch, RandomKey]]:
    """At most `parts` parts of a batch, none empty; each with the key of its rows of the batch's dropout masks."""
    bounds = np.array_split(np.arange(len(batch.tokens)), parts)
    return [(batch.rows(slice(rows[0], rows[-1] + 1)), key.at(row=int(rows[0]))) for rows in bounds if len(rows)]


class Workers:
    """Shares each batch's forward and backward among this thread, which takes the first part, and others.

    gradients: where each of the others puts the gradient of its part, (N,)
    """

    def __init__(self, model: Module, objective: Objective, gradients: Sequence[np.ndarray]):
        self.model, self.objective, self.gradients = model, objective, gradients

    def forward_backward(self, batch: Batch, key: RandomKey) -> tuple[float, int]:
        """The loss of a batch; its gradient is in the model's flat buffer afterwards.

        Returns (the mean of the terms that the objective counts, their count). The gradient is that of the mean.
        """
        count = self.objective.count(batch)
        (own, *parts), normalizer = split(batch, key, len(self.gradients) + 1), max(count, 1)
        try:
            waiting = [self.start(index, *part, normalizer) for index, part in enumerate(parts)]
            total = loss_or_error(self.model, self.objective, *own, normalizer)
            answers = [wait() for wait in waiting]  # all of them, so that none is left for the next batch
        except KeyboardInterrupt:  # there will be no further batch
            self.abandon()
            raise
        if isinstance(total, Exception):
            raise total
        for answer, gradient in zip(answers, self.gradients, strict=False):
            if isinstance(answer, Exception):
                raise answer
            total += answer
            self.model.flat.gradients += gradient
        return total / normalizer, count

    def start(self, index: int, *job: Any) -> Callable[[], float | Exception]:
        """Hands a job over to one of the others; returns what waits for its loss, or for the error that it met."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Ends what the others are doing, where that can be done: there will be no further batch, only `close`."""

    def close(self) -> None:
        """Ends the others."""
        raise NotImplementedError


class ThreadWorkers(Workers):
    """The others are threads. Each has a replica of the model: the same weights, gradients of its own."""

    def __init__(self, model: Module, count: int, objective: Objective = NEXT_TOKEN):
        self.replicas = [model.replica() for _ in range(count - 1)]
        # MKL, unlike OpenBLAS, has a number of threads of its own for each thread that calls it.
        self.pool = ThreadPoolExecutor(count, "worker", partial(threadpool_limits, limits=1, user_api="blas"))
        super().__init__(model, objective, [replica.flat.gradients for replica in self.replicas])

    def start(self, index: int, *job: Any) -> Callable[[], float | Exception]:
        return self.pool.submit(loss_or_error, self.replicas[index], self.objective, *job).result

    def close(self) -> None:
        self.pool.shutdown()


class ProcessWorkers(Workers):
    """The others are processes. Until `close`, the model's flat arrays lie in shared memory."""

    def __init__(self, model: Module, count: int, objective: Objective = NEXT_TOKEN):
        self.arrays = SharedArrays(count + 1, len(model.flat.values), model.flat.values.dtype)
        values, own, *gradients = self.arrays.rows
        model.flat.move_to(values, own)
        self.others = [self.start_other(part, model, objective) for part in range(1, count)]
        super().__init__(model, objective, gradients)

    def start_other(self, part: int, model: Module, objective: Objective) -> ChildProcess:
        """The process that takes this part of each batch."""
        task = model, objective, self.arrays.location, part
        return ChildProcess(__name__, *task, descriptors=self.arrays.descriptors)

    def start(self, index: int, *job: Any) -> Callable[[], float | Exception]:
        self.others[index].send(*job)
        return self.others[index].receive

    def abandon(self) -> None:
        for other in self.others:
            other.kill()

    def close(self) -> None:
        for other in self.others:
            other.close()
        flat = self.model.flat
        flat.bind(flat.values.copy(), flat.gradients.copy())
        self.gradients = ()
        self.arrays.close()


def start_workers(model: Module, count: int, kind: str = "processes", objective: Objective = NEXT_TOKEN) -> Workers:
    """The workers that share each batch. `kind` is "processes" or "threads"."""
    workers = ProcessWorkers if count > 1 and kind == "processes" else ThreadWorkers
    return workers(model, count, objective)


def main() -> None:
    """One of the processes: takes (model, objective, shared arrays, part) and then one job after another."""
    parent = Parent()
    settle_process(blas_threads=1)
    messages = parent.messages()
    model, objective, location, part = next(messages)
    values, *gradients = map_arrays(location)
    model.flat.bind(values, gradients[part])
    for job in messages:
        parent.answer(loss_or_error(model, objective, *job))


if __name__ == "__main__":
    main()
