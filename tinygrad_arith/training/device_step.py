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
from .steps import StepResult, Steps, dropout_key, rate_of

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


class DeviceSteps(Steps):
    """Runs training steps of a model whose parameters are on the GPU.

    capture: False: without graphs; for comparison
    """

    waits = True  # `results` waits for the GPU
    optimizer: FlatOptimizer  # whose rates a graph reads on the device

    def __init__(
        self,
        model: Module,
        optimizer: FlatOptimizer,
        config: Config,
        objective: Objective = NEXT_TOKEN,
        capture: bool = True,
    ):
        super().__init__(model, optimizer, config, objective)
        self.capture = capture and unavailable() is None
        self.memory, self.copies = GraphMemory(), cupy.cuda.Stream(non_blocking=True)
        self.record = Record(KEPT)
        self._slots: dict[Any, list[Slot]] = {}
        self._sent: list[tuple[int, int, float, int]] = []  # step, normaliser, rate, examples
        self._told = False

    @property
    def reason(self) -> str | None:
        """Why steps are not run as graphs; None if they are, or will be."""
        reasons = (slot.run.reason for slots in self._slots.values() for slot in slots)
        return unavailable() or next(filter(None, reasons), None)

    def enqueue(self, batch: Batch, step: int) -> None:
        """See `Steps.enqueue`. A step that raises does not count."""
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
        if slot.run.reason is not None and self.capture and not self._told:
            self._told = True
            warn(f"training steps run kernel by kernel, without a CUDA graph: {slot.run.reason}")
        self._sent.append((step, normalizer, rate, len(batch.tokens)))

    def results(self) -> list[StepResult]:
        """See `Steps.results`. Waits for the GPU."""
        self._collect()
        return super().results()

    def close(self) -> None:
        """Lets the graphs and their memory go."""
        self._collect()
        self._slots.clear()

    def compute(self, batch: Batch, numbers: dict[str, Any]) -> None:
        """The whole step, from arrays on the device; what is captured."""
        flat, options = self.model.flat, self.config.optimizer
        key = dropout_key(self.config.training.seed, numbers["step"])
        with flat.fresh_gradients():
            loss = self.objective.loss(self.model, batch, key).total  # ()
            loss.backward(numbers["inverse_count"])
        if not options.train_biases:
            flat.hold_undecayed()
        norm, scale = fused.norm_and_scale(flat.gradients, options.clip)
        scale = self.record.settle(loss.array, norm, scale, numbers["step"])
        fixed = self.optimizer.rates(learning_rate=0.0)  # but for those that change, which are read on the device
        changing = {name: numbers[name] for name in self.optimizer.changing}
        self.optimizer.update(fixed._replace(**changing, gradient_scale=scale))

    def _slot_for(self, batch: Batch, step: int) -> Slot:
        """The slot whose turn it is, among those for batches of this shape."""
        look = tuple(None if array is None else (array.shape, array.dtype) for array in batch)
        slots = self._slots.setdefault(look, [])
        if len(slots) <= step % SLOTS:
            slots += [Slot(self, batch) for _ in range(SLOTS - len(slots))]
        return slots[step % SLOTS]

    def _collect(self) -> None:
        """Reads what has been measured."""
        kept: Any = self.record.read() if self._sent else None
        for step, normalizer, rate, examples in self._sent:
            loss, norm = kept[step % KEPT].tolist()
            self.done.append(StepResult(loss / normalizer, norm, rate, examples))
        self._sent.clear()
