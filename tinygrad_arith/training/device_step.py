"""Training steps on the GPU, without the host in between: each is one CUDA graph, from the batch to the new weights.

    steps = DeviceSteps(model, optimizer, config)
    steps.enqueue(batch, step=0)  # returns while the GPU computes
    steps.enqueue(batch, step=1)
    for result in steps.results():  # waits
        ...

A step of a small model takes the GPU less time than Python needs to ask for its loss. So nothing is asked: loss and
norm stay on the device until somebody wants them, the learning rate and the step's number go there with the batch, and
clipping and the optimizer read them there. The same steps run without a graph, to the same bits, at first and where
something cannot be captured (`reason` says what).
"""

from typing import Any

import numpy as np

from ..backend import RandomKey
from ..cuda import fused
from ..cuda.gemm import unavailable
from ..cuda.graph import GraphedFunction, GraphMemory
from ..cuda.inputs import Inputs
from ..cuda.source import cupy
from ..cuda.step import Record
from ..nn import Module
from ..objectives import NEXT_TOKEN, Batch, Objective
from ..optim import FlatOptimizer
from ..options.errors import warn
from .config import Config
from .step_result import StepResult, dropout_key, rate_of

KEPT = 256  # steps whose loss and norm wait on the device at most
SLOTS = 2  # while the batch in one is computed with, the next is copied into the other


class Slot:
    """A place for batches of one shape on the device, and the step that computes with what is there."""

    def __init__(self, steps: "DeviceSteps", batch: Batch):
        like = {name: array for name, array in batch._asdict().items() if array is not None}
        like |= {name: np.zeros((), np.float32) for name in ("inverse_count", *steps.optimizer.changing)}
        like["step"] = np.zeros((), np.uint32)
        self.inputs = Inputs(like, steps.copies)
        arrays = self.inputs.arrays
        there = Batch._make(arrays.get(name) for name in Batch._fields)
        self.run = GraphedFunction(lambda: steps.compute(there, arrays), steps.memory, capture=steps.capture)


class DeviceSteps:
    """Runs training steps of a model whose parameters are on the GPU.

    capture: False: without graphs; for comparison
    """

    waits = True  # `results` waits for the GPU

    def __init__(
        self,
        model: Module,
        optimizer: FlatOptimizer,
        config: Config,
        objective: Objective = NEXT_TOKEN,
        *,
        capture: bool = True,
    ):
        self.model, self.optimizer, self.config, self.objective = model, optimizer, config, objective
        self.capture = capture and unavailable() is None
        self.memory, self.copies = GraphMemory(), cupy.cuda.Stream(non_blocking=True)
        self.record = Record(KEPT)
        self._slots: dict[Any, list[Slot]] = {}
        self._sent: list[tuple[int, int, StepResult]] = []  # step, normaliser, and what the host knows of its result
        self._done: list[StepResult] = []
        self._told = False

    @property
    def reason(self) -> str | None:
        """Why steps are not run as graphs; None if they are, or will be."""
        if unavailable() is not None:
            return unavailable()
        return next((slot.run.reason for slots in self._slots.values() for slot in slots if slot.run.reason), None)

    def enqueue(self, batch: Batch, step: int) -> None:
        """One optimizer step on one batch of NumPy arrays; `step` counts from 0. One that raises does not count."""
        if len(self._sent) == KEPT:
            self._collect()
        rate, normalizer = rate_of(self.config, step), max(self.objective.count(batch), 1)
        with self.optimizer.counted():
            values = batch._asdict() | self.optimizer.next_rates(rate)._asdict()
            slot = self._slot_for(batch, step)
            slot.inputs.send(values | {"inverse_count": 1.0 / normalizer, "step": step})
            try:
                slot.run()
            finally:  # what it had launched before an error still reads them
                slot.inputs.release()
        self._tell_fallback(slot.run.reason)
        self._sent.append((step, normalizer, StepResult(np.nan, np.nan, rate, len(batch.tokens))))

    def results(self) -> list[StepResult]:
        """Those of the steps enqueued since the last call, in order. Waits for the GPU.

        From the first one on whose loss or gradient is not finite the weights have not changed.
        """
        self._collect()
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Lets the graphs and their memory go."""
        self._collect()
        self._slots.clear()

    def forward_backward(self, batch: Batch, key: RandomKey) -> tuple[float, int]:
        """As `ThreadWorkers.forward_backward`: for a look at a step that went wrong."""
        count = self.objective.count(batch)
        there = batch.on_device_of(self.model.flat.values)
        normalizer = max(count, 1)
        loss = self._backward(there, key, np.float32(1.0 / normalizer))
        return loss.item() / normalizer, count

    def compute(self, batch: Batch, numbers: dict[str, Any]) -> None:
        """The whole step, from arrays on the device; what is captured."""
        key = dropout_key(self.config.training.seed, numbers["step"])
        loss = self._backward(batch, key, numbers["inverse_count"])
        if not self.config.optimizer.train_biases:
            self.model.flat.hold_undecayed()
        norm, scale = fused.norm_and_scale(self.model.flat.gradients, self.config.optimizer.clip)
        scale = self.record.settle(loss, norm, scale, numbers["step"])
        fixed = self.optimizer.rates(learning_rate=0.0)  # but for those that change, which are read on the device
        changing = {name: numbers[name] for name in self.optimizer.changing}
        self.optimizer.update(fixed._replace(**changing, gradient_scale=scale))

    def _backward(self, batch: Batch, key: RandomKey, dloss: Any) -> Any:
        """The summed loss, (); the gradient of `dloss` times that sum is in the flat buffer afterwards."""
        with self.model.flat.fresh_gradients():
            loss = self.objective.loss(self.model, batch, key).total  # ()
            loss.backward(dloss)
        return loss.array

    def _slot_for(self, batch: Batch, step: int) -> Slot:
        """The slot whose turn it is, among those for batches of this shape."""
        look = tuple(None if array is None else (array.shape, array.dtype) for array in batch)
        slots = self._slots.setdefault(look, [])
        if len(slots) <= step % SLOTS:
            slots += [Slot(self, batch) for _ in range(SLOTS - len(slots))]
        return slots[step % SLOTS]

    def _tell_fallback(self, reason: str | None) -> None:
        """Says, once, that steps run slower than they might, and why."""
        if reason is not None and self.capture and not self._told:
            self._told = True
            warn(f"training steps run kernel by kernel, without a CUDA graph: {reason}")

    def _collect(self) -> None:
        """Reads what has been measured."""
        if not self._sent:
            return
        kept = self.record.read()
        for step, normalizer, known in self._sent:
            loss, norm = kept[step % KEPT].tolist()
            known = StepResult(loss / normalizer, norm, known.learning_rate, known.examples)
            self._done.append(known)
        self._sent.clear()
