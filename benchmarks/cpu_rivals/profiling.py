"""Our training step split by operation, in a pass of its own: the clocks cost time, so timed rounds run without them.

The tape gets every operation's forward and backward from one place, `plan`; here each is handed out with a clock.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

from tinygrad_arith.training import steps as training_steps

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
    original = tape_entry.plan

    def plan(operation: Any, arguments: Any) -> Any:
        found = original(operation, arguments)
        return found._replace(
            forward=clock.timed(found.forward, operation.name),
            backward=clock.timed(found.backward, operation.name, "backward"),
        )

    with ExitStack() as stack:
        stack.enter_context(patch.object(tape_entry, "plan", plan))
        for owner, name, part in parts_of_step(contestant):
            stack.enter_context(patch.object(owner, name, clock.timed(getattr(owner, name), part)))
        yield


def parts_of_step(contestant: Any) -> list[tuple[Any, str, str]]:
    """What a step does beside operations: who does it, the name of the function, and what we call it."""
    return [
        (training_steps, "gradient_norm", "norm"),
        (contestant.optimizer, "step", "optimizer"),
    ]


def profile_steps(contestant: Any, batches: list[tuple[np.ndarray, np.ndarray]], steps: int) -> dict:
    """Milliseconds a step, in the mean, by part, slowest first.

    {"step_ms", "processes", "rows": [{"part", "forward_ms", "backward_ms"}]}: the clocks are those of this process, the
    first of those that share a batch. The rows add up to the step: the last one, "rest", is what no clock saw: the
    tape, waiting for the other processes, adding their gradients.
    """
    clock = Clock()
    fetch = clock.timed(lambda index: batches[index % len(batches)], "data")
    with clocks_on(clock, contestant):
        began = time.perf_counter()
        for index in range(steps):
            contestant.step(*fetch(index))
        total = time.perf_counter() - began
    rest = total - sum(clock.seconds.values())
    parts = sorted({part for part, _ in clock.seconds})
    rows = [_row(part, clock.seconds[part, "forward"], clock.seconds[part, "backward"], steps) for part in parts]
    rows.sort(key=lambda row: -(row["forward_ms"] + row["backward_ms"]))
    return {
        "step_ms": 1e3 * total / steps,
        "processes": contestant.processes,
        "rows": [*rows, _row("rest", rest, 0.0, steps)],
    }


def _row(part: str, forward: float, backward: float, steps: int) -> dict:
    return {"part": part, "forward_ms": 1e3 * forward / steps, "backward_ms": 1e3 * backward / steps}
