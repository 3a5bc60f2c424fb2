"""What the script and a worker say to each other: one JSON object a line, over the worker's stdin and stdout.

    {"command": "hello"}                                             -> {"versions", "memory"}; who is there
    {"command": "prepare", "configuration": {...}, "directory": ...} -> {}; weights and batches are read from there
    {"command": "check"}              -> {"loss", "gradients"}; before any update; the gradients as the path of an npz
    {"command": "time", "steps": n}   -> {"seconds": [...], "losses": [...]}, one for each step
    {"command": "profile", "steps": n}-> ours only: milliseconds by operation
    {"command": "memory"}             -> {"bytes"}; the largest resident size so far, null where it cannot be told

An answer is {"ok": result} or {"error": text}. The end of stdin ends the worker.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np

from .configurations import Configuration
from .inputs import WEIGHTS, read_batches, read_checked


class Contestant(Protocol):
    """What ours and each rival provide. tokens, targets: int64 (B, T), target -1 bears no loss."""

    versions: dict[str, str]

    def prepare(self, configuration: Configuration, weights: Mapping[str, np.ndarray]) -> None:
        """Builds model and optimizer, with these weights."""

    def loss_and_gradients(self, tokens: np.ndarray, targets: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
        """The loss of a batch and all gradients under our names in our layout, without an update."""

    def step(self, tokens: np.ndarray, targets: np.ndarray) -> float:
        """One whole training step. Returns the loss before the update."""


class Session:
    """The worker's side: carries out commands on a contestant. One method a command, with the command's name."""

    def __init__(self, contestant: Any, name: str):
        self.contestant, self.name = contestant, name
        self.steps = 0

    def hello(self) -> dict:
        return {"versions": self.contestant.versions, "memory": peak_memory()}

    def prepare(self, configuration: dict, directory: str) -> dict:
        self.directory = Path(directory)
        self.batches = read_batches(self.directory)
        with np.load(self.directory / WEIGHTS) as weights:  # an array is read when it is asked for
            self.contestant.prepare(Configuration(**configuration), weights)
        return {}

    def check(self) -> dict:
        loss, gradients = self.contestant.loss_and_gradients(*read_checked(self.directory))
        path = self.directory / f"gradients-{self.name}.npz"
        np.savez(path, **gradients)
        return {"loss": loss, "gradients": str(path)}

    def time(self, steps: int) -> dict:
        seconds, losses = [], []
        for _ in range(steps):
            began = time.perf_counter()
            losses.append(self.contestant.step(*self.batches[self.steps % len(self.batches)]))
            seconds.append(time.perf_counter() - began)
            self.steps += 1
        return {"seconds": seconds, "losses": losses}

    def profile(self, steps: int) -> dict:
        return self.contestant.profile(self.batches, steps)

    def memory(self) -> dict:
        helpers = self.contestant.helpers() if hasattr(self.contestant, "helpers") else []
        peaks = [peak_memory(), *map(own_peak_memory, helpers)]
        return {"bytes": None if None in peaks else sum(peaks)}


def serve(session: Session, requests: TextIO, answers: TextIO) -> None:
    """Answers requests until there are no more."""
    for line in requests:
        message = json.loads(line)
        try:
            answer = {"ok": getattr(session, message.pop("command"))(**message)}
        except Exception as error:  # told to the script, which decides what it means
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def own_peak_memory(process: int) -> int | None:
    """The same without what is shared with other processes: libraries and arrays that the first one counts already."""
    peak = peak_memory(process)
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    shared = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Shared_"))
    return None if peak is None else peak - shared


def peak_memory(process: int | str = "self") -> int | None:
    """The largest resident size of a process so far in bytes, None where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    if process != "self":
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
