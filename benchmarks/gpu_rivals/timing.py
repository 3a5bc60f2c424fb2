"""Times on the GPU alone: every contestant replays a CUDA graph of its calls, in turns with the others.

A graph leaves out what Python, PyTorch and CuPy take to launch, for both sides alike.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import cupy
import torch

SAMPLE_MS = 5.0  # a replay should take about this long: short calls are repeated inside the graph
MOST_REPEATS = 20
LIMIT_MS = 1500.0  # for all replays of one contestant; slow ones get fewer
FEWEST_SAMPLES = 3


class Replay(NamedTuple):
    """A captured graph of `repeats` calls that took about `milliseconds` each; memory is what it works in."""

    graph: Any
    repeats: int
    milliseconds: float
    memory: Any


class Lane:
    """A stream that PyTorch and CuPy share."""

    def __init__(self) -> None:
        self.ours = cupy.cuda.Stream(non_blocking=True)
        self.theirs = torch.cuda.ExternalStream(self.ours.ptr)

    def __enter__(self) -> Lane:
        torch.cuda.synchronize()
        self.ours.__enter__()
        self._torch = torch.cuda.stream(self.theirs)
        self._torch.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._torch.__exit__(*exception)
        self.ours.__exit__(*exception)
        torch.cuda.synchronize()

    def time(self, call: Callable[[], Any]) -> float:
        """Milliseconds of one call, its launch included."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record(self.theirs)
        call()
        end.record(self.theirs)
        end.synchronize()
        return start.elapsed_time(end)


def capture(call: Callable[[], Any], lane: Lane) -> Replay:
    """Captures as many calls as make a good sample. To be called inside the lane."""
    pool = cupy.cuda.MemoryPool()  # the graph's own: what a call allocates stays at its address
    with cupy.cuda.using_allocator(pool.malloc):
        call()  # compiles, plans, fills the pool
        milliseconds = min(lane.time(call) for _ in range(2))
        repeats = min(max(math.ceil(SAMPLE_MS / milliseconds), 1), MOST_REPEATS)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=lane.theirs, capture_error_mode="relaxed"):
            for _ in range(repeats):
                call()
    graph.replay()
    milliseconds = lane.time(graph.replay) / repeats
    return Replay(graph, repeats, milliseconds, pool)


def take_turns(replays: dict[str, Replay], samples: int, lane: Lane) -> dict[str, list[float]]:
    """Milliseconds a call, sample by sample: A B C A B C ..., all queued before the first is waited for."""
    wanted = {
        name: max(FEWEST_SAMPLES, min(samples, int(LIMIT_MS / (replay.repeats * replay.milliseconds))))
        for name, replay in replays.items()
    }
    events: dict[str, list[tuple[Any, Any]]] = {name: [] for name in replays}
    for turn in range(samples):
        for name, replay in replays.items():
            if turn < wanted[name]:
                start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                start.record(lane.theirs)
                replay.graph.replay()
                end.record(lane.theirs)
                events[name].append((start, end))
    torch.cuda.synchronize()
    return {
        name: [start.elapsed_time(end) / replays[name].repeats for start, end in pairs]
        for name, pairs in events.items()
    }


def in_short(samples: list[float]) -> dict[str, Any]:
    """Median, smallest and largest, ready for JSON."""
    return {"ms": statistics.median(samples), "min": min(samples), "max": max(samples), "samples": len(samples)}
