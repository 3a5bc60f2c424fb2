"""What several runs come to: the runs of one configuration that differ in their seed are a group.

A run is read from its `config.json`, `metrics.jsonl` and `result.json`; no model is made, and no file of a user's task
is run.
"""

import dataclasses
import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..options.errors import UserError
from ..run_files.metrics import FILE_NAME as METRICS
from ..run_files.metrics import checked_metrics, evaluated_rows
from ..run_files.result import known_results, read_result_file
from ..tasks.metrics import Goal, goal_of
from ..training.config import SECTIONS, Config
from ..training.runs import CONFIG_FILE, RESULT_FILE, RunRecord, read_record_alone, resume_command

THRESHOLDS = (0.99, 0.999)  # of the validation problems: how soon a run got there is told
NEVER = math.inf  # steps or seconds to what a run did not reach: later than all that did
LAST_LOSSES = 100  # steps at the end of a run whose losses are averaged
# Options that change how fast a run is and how it rounds, not what it computes:
MACHINE_OPTIONS = frozenset({"device", "workers", "worker_kind", "blas_threads", "batch_makers"})
OPTIONS_APART_FROM_GROUP = MACHINE_OPTIONS | {"seed", "checkpoint_every", "keep_checkpoints"}


@dataclass(frozen=True)
class FinishedRun:
    """A run that was trained to its end and tested: what its `metrics.jsonl` (a row a step) and `result.json` hold."""

    directory: Path
    record: RunRecord
    rows: list[dict[str, Any]]
    result: dict[str, Any]

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.record.config.training.seed

    @property
    def goal(self) -> Goal:
        """The metric that the run is judged by."""
        return goal_of(self.result)

    @property
    def value(self) -> float:
        """The goal metric on the test split."""
        return self.result[f"test_{self.goal.name}"]

    @cached_property
    def evaluated(self) -> list[dict[str, Any]]:
        """The rows with an evaluation on the validation problems."""
        return evaluated_rows(self.rows, self.goal)

    @property
    def loss(self) -> float:
        """The mean loss of the last steps, in nats per counted token."""
        return float(np.mean([row["loss"] for row in self.rows[-LAST_LOSSES:]]))

    def reached(self, threshold: float) -> tuple[float, float]:
        """(steps, seconds) to the first evaluation with so large a share; both NEVER if there was none."""
        for row in self.evaluated if self.goal.share else ():
            if row[self.goal.field] >= threshold:
                return row["step"], float(row["seconds"])
        return NEVER, NEVER

    def best(self) -> tuple[float, int] | tuple[None, None]:
        """(goal metric, step) of the best evaluation on the way, the first of equals; None if there was none."""
        if not self.evaluated:
            return None, None
        row = (max if self.goal.rising else min)(self.evaluated, key=lambda row: row[self.goal.field])
        return float(row[self.goal.field]), row["step"]

    def further_results(self) -> dict[str, float]:
        """The numbers in `result.json` beside those that every run has, such as another measure of an article.

        `best_in_fives`, of the best evaluation on the way, is beside them, as it is what the article tells.
        """
        numbers = {k: v for k, v in self.result.items() if isinstance(v, int | float) and not isinstance(v, bool)}
        further = {name: value for name, value in numbers.items() if name not in known_results(self.goal)}
        in_fives = [float(row["in_fives"]) for row in self.evaluated if "in_fives" in row]
        return further | ({"best_in_fives": max(in_fives)} if in_fives else {})

    def values(self) -> dict[str, Any]:
        """The figures of this run, ready for JSON; what was not reached is null."""
        reached = {str(threshold): self.reached(threshold) for threshold in THRESHOLDS}
        best, best_step = self.best()
        name = self.goal.name
        return {
            "seed": self.seed,
            "step": self.result["step"],
            f"test_{name}": self.value,
            "test_correct": self.result.get("test_correct"),
            "test_count": self.result["test_count"],
            f"best_{name}": best,
            "best_step": best_step,
            "steps_to": {name: finite(steps) for name, (steps, _) in reached.items()},
            "seconds_to": {name: finite(seconds) for name, (_, seconds) in reached.items()},
            "final_loss": float(self.rows[-1]["loss"]),
            "mean_of_last_losses": self.loss,
            "seconds": self.result["seconds"],
            "further": self.further_results(),
        }


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed only, by seed."""

    label: str  # told apart from the other groups of a comparison
    runs: list[FinishedRun]

    def values(self) -> dict[str, Any]:
        """The figures of this group, ready for JSON: of every run, and medians with ranges."""
        return {
            "label": self.label,
            "preset": self.runs[0].record.preset,
            "runs": [run.values() | {"run": str(run.directory)} for run in self.runs],
            "summary": {name: spread.values() for name, spread in spreads(self.runs).items()},
        }


@dataclass(frozen=True)
class Spread:
    """The median of some values and their range."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """The spread of at least one value; NEVER counts as larger than all others."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])

    def values(self) -> dict[str, float | None]:
        """Ready for JSON; NEVER is null."""
        return {name: finite(value) for name, value in dataclasses.asdict(self).items()}


def finite(value: float) -> float | None:
    """The value, or None for NEVER, which JSON cannot tell."""
    return value if math.isfinite(value) else None


def spreads(runs: Sequence[FinishedRun]) -> dict[str, Spread]:
    """Medians and ranges over runs, by name: `exact_match` (the goal), `loss`, `seconds`, `steps_to_0.99`, ..."""
    found = {
        runs[0].goal.name: Spread.of(run.value for run in runs),
        "loss": Spread.of(run.loss for run in runs),
        "seconds": Spread.of(run.result["seconds"] for run in runs),
    }
    for threshold in THRESHOLDS:
        found[f"steps_to_{threshold}"] = Spread.of(run.reached(threshold)[0] for run in runs)
        found[f"seconds_to_{threshold}"] = Spread.of(run.reached(threshold)[1] for run in runs)
    return found


def run_directories(paths: Iterable[Path]) -> list[Path]:
    """The directories of runs: a path that is no run but holds some stands for all of them; each once, in order.

    Raises UserError for a path that is neither.
    """
    found: dict[Path, None] = {}
    for path in paths:
        inside = [] if (path / CONFIG_FILE).is_file() else sorted(file.parent for file in path.glob(f"*/{CONFIG_FILE}"))
        if not inside:
            read_record_alone(path)  # says what is wrong with it
        found |= dict.fromkeys(inside or [path])
    return list(found)


def is_finished(directory: Path) -> bool:
    """Whether the run was trained to its end and tested."""
    return (directory / RESULT_FILE).is_file()


def read_finished(directory: Path) -> FinishedRun:
    """Read a finished run; raises UserError if it is none, or not finished, or its files do not belong together."""
    record = read_record_alone(directory)
    if not is_finished(directory):
        raise UserError(f"{directory}: not finished: it lacks {RESULT_FILE}; go on with: {resume_command(directory)}")
    result = read_result_file(directory / RESULT_FILE)
    rows = checked_metrics(directory, goal_of(result), evaluated=("seconds",))
    if not rows or rows[-1]["step"] != result["step"]:
        raise UserError(f"{directory}: {METRICS} does not end at step {result['step']}, that of {RESULT_FILE}")
    return FinishedRun(directory, record, rows, result)


def group_runs(runs: Iterable[FinishedRun]) -> list[Group]:
    """Runs by preset and options, in the order in which the first of each comes; within a group by seed.

    Raises UserError if two runs of a group have the same seed: they are the same run twice.
    """
    groups = alike(runs)
    labels = group_labels([members[0].record for members in groups])
    for members in groups:
        members.sort(key=lambda run: run.seed)
        for run, other in itertools.pairwise(members):
            if run.seed == other.seed:
                raise UserError(f"{run.directory} and {other.directory}: the same options and the same seed; name one")
    return [Group(label, members) for label, members in zip(labels, groups, strict=True)]


def alike(runs: Iterable[Any], apart: frozenset[str] = OPTIONS_APART_FROM_GROUP) -> list[list[Any]]:
    """Runs, each with its `record`, in lists: those of one name, with the same options but for those `apart`."""
    groups: dict[Any, list[Any]] = {}
    for run in runs:
        groups.setdefault((run.record.name, *options_of_group(run.record, apart).items()), []).append(run)
    return list(groups.values())


def options_of_group(record: RunRecord, apart: frozenset[str] = OPTIONS_APART_FROM_GROUP) -> dict[str, Any]:
    """The options that all runs of a group share: all but those `apart`."""
    options = option_values(record.config) | {"until": record.until}
    return {name: value for name, value in options.items() if name not in apart}


def option_values(config: Config) -> dict[str, Any]:
    """Every option by its field's name, which is unique across the sections."""
    return {name: value for section in SECTIONS for name, value in getattr(config, section).named_values().items()}


def group_labels(records: Sequence[RunRecord], apart: frozenset[str] = OPTIONS_APART_FROM_GROUP) -> list[str]:
    """The name of each group; with the preset and the options in which it differs from other groups of that name."""
    presets: dict[str, set[str]] = defaultdict(set)
    for record in records:
        presets[record.name].add(record.preset)
    titles = [r.name if len(presets[r.name]) == 1 else f"{r.name}, {r.preset}" for r in records]
    options = [options_of_group(record, apart) for record in records]
    labels = []
    for title, own in zip(titles, options, strict=True):
        others = [o for t, o in zip(titles, options, strict=True) if t == title]
        differing = [f"{n} {v}" for n, v in own.items() if any(other.get(n) != v for other in others)]
        labels.append(title + (f" ({', '.join(differing)})" if differing else ""))
    return labels
