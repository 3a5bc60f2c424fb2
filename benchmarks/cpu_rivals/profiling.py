"""Our training step split by operation, in a pass of its own: the clocks cost time, so timed rounds run without them.

The tape gets every operation's forward and backward from one place, `choose`; here each is handed out with a clock.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

from tinygrad_arith.ops.registry import textbook_backward
from tinygrad_arith.training import trainer

tape_entry = importlib.import_module("tinygrad_arith.autograd.differentiable")  # the package's name is the function


class Clock:
    """Seconds by (part, "forward" | "backward"), summed over threads."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)
        self.lock = threading.Lock()

    def timed(self, function: Callable[..., Any], part: str, phase: str = "forward") -> Callable[..., Any]:
        """The function, with its seconds counted under (part, phase)."""

        def run(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.perf_counter() - began
                with self.lock:
                    self.seconds[part, phase] += took

        return run


@contextmanager
def clocks_on(clock: Clock, contestant: Any) -> Iterator[None]:
    """Inside, operations, clipping, the zeroing of gradients and the optimizer count their time."""
    original = tape_entry.choose

    def choose(operation: Any, *args: Any, **kwargs: Any) -> tuple:
        forward, backward = original(operation, *args, **kwargs)
        backward = backward or textbook_backward(operation)
        return clock.timed(forward, operation.name), clock.timed(backward, operation.name, "backward")

    flat, optimizer = contestant.model.flat, contestant.optimizer
    with (
        patch.object(tape_entry, "choose", choose),
        patch.object(trainer, "clip_gradient_norm", clock.timed(trainer.clip_gradient_norm, "clip")),
        patch.object(flat, "zero_gradients", clock.timed(flat.zero_gradients, "zero gradients")),
        patch.object(optimizer, "step", clock.timed(optimizer.step, "optimizer")),
    ):
        yield


def profile_steps(contestant: Any, batches: list[tuple[np.ndarray, np.ndarray]], steps: int) -> dict:
    """Milliseconds a step, in the mean, by part: {"step_ms", "rows": [{"part", "forward_ms", "backward_ms"}]}.

    Slowest part first; then "rest", what no clock saw (the tape, additions of gradients, allocation). Where several
    threads work at once, their times add up and "rest" may be negative.
    """
    clock = Clock()
    fetch = clock.timed(lambda index: batches[index % len(batches)], "data")
    with clocks_on(clock, contestant):
        began = time.perf_counter()
        for index in range(steps):
            contestant.step(*fetch(index))
        total = time.perf_counter() - began
    parts = sorted({part for part, _ in clock.seconds})
    rows = [_row(part, clock.seconds[part, "forward"], clock.seconds[part, "backward"], steps) for part in parts]
    rows.sort(key=lambda row: -(row["forward_ms"] + row["backward_ms"]))
    rest = total - sum(clock.seconds.values())
    return {"step_ms": 1e3 * total / steps, "rows": [*rows, _row("rest", rest, 0.0, steps)]}


def _row(part: str, forward: float, backward: float, steps: int) -> dict:
    return {"part": part, "forward_ms": 1e3 * forward / steps, "backward_ms": 1e3 * backward / steps}
