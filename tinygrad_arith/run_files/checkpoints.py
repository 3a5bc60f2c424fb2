"""Checkpoints: a run's whole state at one step, found whole or not at all.

`step-00000100.safetensors` holds the arrays: weights as `model.<dotted name>`, the optimizer's as `optimizer.<name>`.
`step-00000100.json` is written after it and marks the checkpoint as complete: it states the step, the size and SHA-256
of the arrays' file, and the progress so far. A file of arrays without its JSON is a leftover of a killed run.

Random numbers need no saving: batches, initial weights and dropout are pure functions of (seed, step).

Pruning: the newest `keep` checkpoints stay, and the best one. It happens after a new one is complete, so the one before
is never deleted while a newer one is still being written. A file that cannot be deleted, because another program on
Windows has it open, is warned of; the next pruning tries again.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files.durability import delete
from ..files.reading import expect, is_number, is_step, is_whole, read_json
from ..files.writing import atomic_path, remove_temporaries, try_to_delete, write_json
from ..options.errors import UserError, warn
from ..options.system import system_error
from ..tasks.metrics import EXACT_MATCH, Goal, goal_of

FOLDER = "checkpoints"
FORMAT = 1
Arrays = dict[str, np.ndarray]


@dataclass
class Progress:
    """How far a run has come: what a checkpoint tells beside the arrays."""

    step: int = 0  # optimizer steps done, which is also the data position: batch i is a function of (seed, i)
    examples: int = 0
    seconds: float = 0.0  # of training, over all sittings
    goal: Goal = EXACT_MATCH
    value: float | None = None  # of the goal metric, at the newest evaluation
    measured: int | None = None  # the step of that evaluation

    def finished(self, steps: int, until: float | None) -> bool:
        """Whether all `steps` are done or the newest evaluation reached `until`."""
        return self.step >= steps or self.goal.reached(self.value, until)

    def facts(self) -> dict[str, Any]:
        """What a checkpoint's JSON states; the value is there under the goal's name."""
        counted = {"step": self.step, "examples": self.examples, "seconds": self.seconds}
        return counted | {self.goal.name: self.value, "measured": self.measured, "goal": self.goal._asdict()}

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> "Progress":
        """The progress that a checkpoint's JSON states; KeyError for what it lacks, ValueError for what is wrong."""
        goal = goal_of(facts)
        step, examples, seconds, value = (facts[name] for name in ("step", "examples", "seconds", goal.name))
        expect("step", step, is_step(step), "a number of steps")
        expect("examples", examples, is_whole(examples), "a whole number")
        expect("seconds", seconds, is_number(seconds) and seconds >= 0, "a number from 0")
        expect(goal.name, value, value is None or is_number(value), "a number")
        measured = facts.get("measured")
        expect("measured", measured, measured is None or is_step(measured), "a number of steps")
        return cls(step, examples, seconds, goal, value, measured)


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint, read and verified."""

    path: Path
    progress: Progress
    model: Arrays
    optimizer: Arrays


class DamagedCheckpoint(Exception):
    """A checkpoint that cannot be used, and why."""


def arrays_path(folder: Path, step: int) -> Path:
    """Where the arrays of a step's checkpoint lie."""
    return folder / f"step-{step:08d}.safetensors"


def save_checkpoint(
    folder: Path, progress: Progress, model: Arrays, optimizer: Arrays, *, seed: int, keep: int
) -> Path:
    """Write a checkpoint, arrays first and the JSON that completes it last, then prune; returns the arrays' path."""
    folder.mkdir(exist_ok=True)
    path = arrays_path(folder, progress.step)
    named = {f"model.{name}": array for name, array in model.items()}
    named |= {f"optimizer.{name}": array for name, array in optimizer.items()}
    with atomic_path(path) as temporary:
        save_arrays(temporary, named)
        size, digest = temporary.stat().st_size, sha256(temporary)
    facts = {"format": FORMAT, "file": path.name, "bytes": size, "sha256": digest, "seed": seed}
    write_json(path.with_suffix(".json"), facts | progress.facts())
    prune(folder, keep)
    return path


def prune(folder: Path, keep: int) -> None:
    """Delete all complete checkpoints but the newest `keep` and the best one, and arrays whose JSON is gone."""
    best = best_checkpoint(folder)
    for json_file in complete_checkpoints(folder)[:-keep]:
        if json_file != best and try_to_delete(json_file):  # first, so that no checkpoint seems complete without arrays
            try_to_delete(json_file.with_suffix(".safetensors"))
    delete_orphans(folder)


def delete_orphans(folder: Path) -> None:
    """Delete the arrays that have no JSON: of a killed writer, or of one that could not delete them before."""
    for path in folder.glob("step-*.safetensors"):
        if not path.with_suffix(".json").is_file():
            try_to_delete(path)


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays as a safetensors file. Raises OSError where the disk does not take it."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    # order="C": safetensors writes the raw memory of an array, which is only right for a contiguous one
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    try:
        save_file(contiguous, path)
    except SafetensorError as error:
        said = re.search(r"([^:]*) \(os error (\d+)\)", str(error))  # the system's own, in the library's sentence
        if said is None:
            raise
        raise system_error(int(said[2]), said[1].strip()) from error


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def complete_checkpoints(folder: Path) -> list[Path]:
    """The JSON files of the checkpoints that were completed, oldest first."""
    return sorted(folder.glob("step-*.json"))


def best_checkpoint(folder: Path) -> Path | None:
    """The JSON file of the checkpoint with the best value of the goal, the newest of equals; None if there is none.

    Those count that were evaluated at their own step. One that cannot be read is no candidate.
    """
    best: tuple[float, Path] | None = None
    for json_file in complete_checkpoints(folder):
        try:
            progress = Progress.from_facts(read_json(json_file))
        except (UserError, OSError, ValueError, KeyError, TypeError):
            continue
        if progress.value is None or progress.measured != progress.step:
            continue
        worth = progress.value if progress.goal.rising else -progress.value
        if best is None or worth >= best[0]:
            best = worth, json_file
    return None if best is None else best[1]


def load_best(folder: Path, warn: Callable[[str], None] = warn) -> Checkpoint | None:
    """The best checkpoint; the newest whole one where none was evaluated or the best is damaged. None if none is there.

    Raises UserError as `load_newest`.
    """
    json_file = best_checkpoint(folder)
    if json_file is None:
        return load_newest(folder, warn)
    try:
        return read_checkpoint(json_file)
    except DamagedCheckpoint as damage:
        warn(f"checkpoint {json_file.with_suffix('.safetensors')}, the best one, is damaged ({damage})")
        return load_newest(folder, warn)


def delete_checkpoint(json_file: Path) -> None:
    """Delete a checkpoint: the JSON first, so that no instant shows a complete checkpoint without its arrays."""
    delete(json_file)
    delete(json_file.with_suffix(".safetensors"))


def load_newest(folder: Path, warn: Callable[[str], None] = warn) -> Checkpoint | None:
    """The newest checkpoint that is whole; None if none was ever completed.

    A damaged one (truncated, changed, unreadable) is passed over with a warning, and the one before it is tried. One
    that a trainer has replaced by a newer one meanwhile is no damage: then it is looked again.
    Raises UserError if checkpoints were completed but every one is damaged.
    """
    before: list[Path] = []
    json_files = complete_checkpoints(folder)
    while json_files != before:
        for json_file in reversed(json_files):
            try:
                return read_checkpoint(json_file)
            except DamagedCheckpoint as damage:
                if json_file.is_file():
                    path = json_file.with_suffix(".safetensors")
                    warn(f"checkpoint {path} is damaged ({damage}); trying the one before it")
        json_files, before = complete_checkpoints(folder), json_files
    if json_files:
        raise UserError(f"{folder}: no complete checkpoint: all of the {len(json_files)} there are damaged")
    return None


def read_checkpoint(json_file: Path) -> Checkpoint:
    """Read and verify one checkpoint, given its JSON; raises DamagedCheckpoint saying what is wrong with it."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = json_file.with_suffix(".safetensors")
    try:
        facts = read_json(json_file)
        if not isinstance(facts, dict) or not is_whole(facts.get("bytes")):
            raise DamagedCheckpoint("its JSON is no table that states the size of the arrays' file")
        verify_arrays_file(path, facts)
        progress = Progress.from_facts(facts)
        if arrays_path(path.parent, progress.step) != path:
            raise DamagedCheckpoint(f"its JSON states step {progress.step}, not that of its name")
        arrays = load_file(path)
    except UserError as error:
        raise DamagedCheckpoint(str(error)) from error
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DamagedCheckpoint(f"{type(error).__name__}: {error}") from error
    return Checkpoint(path, progress, with_prefix(arrays, "model."), with_prefix(arrays, "optimizer."))


def verify_arrays_file(path: Path, facts: dict[str, Any]) -> None:
    """Raise DamagedCheckpoint unless the file of arrays has the size and hash that its JSON states."""
    if not path.is_file():
        raise DamagedCheckpoint("the file is missing")
    size = path.stat().st_size
    if size != facts["bytes"]:
        raise DamagedCheckpoint(f"{size:,} bytes long instead of {facts['bytes']:,}")
    if sha256(path) != facts["sha256"]:
        raise DamagedCheckpoint("its SHA-256 is not the one that was saved")


def with_prefix(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def clean_folder(folder: Path, last_step: int) -> None:
    """Before resuming at `last_step`: delete leftovers of a killed writer and checkpoints past that step.

    Those past it are damaged (else one of them would have been resumed from) and will be written again.
    """
    if not folder.is_dir():
        return
    remove_temporaries(folder)
    resumed = arrays_path(folder, last_step).with_suffix(".json")
    for json_file in complete_checkpoints(folder):
        if json_file.name > resumed.name:
            delete_checkpoint(json_file)
    delete_orphans(folder)
