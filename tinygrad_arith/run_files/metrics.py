"""`metrics.jsonl`: what each training step measured, one JSON object a line.

The fields of a row: `step` (steps done, from 1), `loss` (nats per counted token), `gradient_norm` (before clipping),
`learning_rate`, `examples` (seen in training so far), `examples_per_second`, `seconds` (training time since the run
began, over all its sittings). On the steps that were evaluated also what the task measures on the validation examples:
its goal, such as `exact_match` (share of problems answered right in full), `validation_loss` (nats per counted token;
absent where it is not finite), and what else it has, such as `by_position` (share of right tokens at each place of the
answer) and, where a row is a prefix, `in_fives` (the measure of an article, see `tasks/scoring.py`).
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..files.durability import bring_to_disk
from ..files.reading import LARGEST_LINES, BeyondLimits, are_numbers, expect, is_number, is_step, parse_json, read_bytes
from ..files.writing import write_text
from ..options.errors import UserError, as_user_error, naming
from ..tasks.metrics import EXACT_MATCH, Goal, Metrics

FILE_NAME = "metrics.jsonl"
IN_EVERY_ROW = ("step", "loss")
NUMBERS = (*IN_EVERY_ROW, "in_fives", "examples", "seconds", "validation_loss")  # where they are: no lists, never null


class MetricsWriter:
    """Appends rows to a file; each is handed to the operating system at once, so that a killed program loses none."""

    def __init__(self, path: Path):
        self.path = path
        self.file: IO[str] = open(path, "a", encoding="utf-8", newline="\n")  # noqa: SIM115  # open for the whole run

    def append(self, row: dict[str, Any]) -> None:
        """Write one row; ValueError for NaN or infinity, which JSON cannot tell."""
        line = json.dumps(row, allow_nan=False) + "\n"
        with naming(self.path):
            self.file.write(line)
            self.file.flush()

    def sync(self) -> None:
        """Bring the rows to the disk: before a checkpoint that says that they are there."""
        with naming(self.path):
            bring_to_disk(self.file.fileno())

    def close(self) -> None:
        """Close the file."""
        with naming(self.path):
            self.file.close()


def read_objects(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of lines, up to the first line that is torn; none if there is no file.

    Raises UserError, which names the file and the line, for a line that is whole and holds what no run writes.
    """
    if not path.is_file():
        return []
    objects: list[dict[str, Any]] = []
    lines = read_bytes(path, LARGEST_LINES).split(b"\n")[:-1]  # what follows the last newline is nothing, or torn
    for line in lines:
        try:
            value = parse_json(line)
        except BeyondLimits as error:
            raise UserError(f"{path}: line {len(objects) + 1}: {error}") from error
        except ValueError:
            break
        if not isinstance(value, dict):
            break
        objects.append(value)
    return objects


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file, up to the first line that is torn; none if there is no file.

    Raises UserError, which names the file and the line, if a row holds what is no measurement.
    """
    rows = list(itertools.takewhile(lambda row: "step" in row, read_objects(path)))
    with as_user_error(f"{path}: not a run's metrics: "):
        for line, row in enumerate(rows, start=1):
            for name, value in row.items():
                expect(f"line {line}: {name}", value, *rule_for(name, value))
        places = [row["by_position"] for row in rows if row.get("by_position")]
        if len({len(shares) for shares in places}) > 1:
            raise ValueError("by_position is not of the same places in every line")
    return rows


def rule_for(name: str, value: Any) -> tuple[bool, str]:
    """Whether a value may stand in a field of a row, and what the field would have to be."""
    if name == "by_position":
        return value is None or are_numbers(value), "a list of numbers"
    if name == "step" and is_number(value):
        return is_step(value), "a whole number below 1,000,000,000"
    return is_number(value) or (name not in NUMBERS and (value is None or are_numbers(value))), "a number"


def evaluation_fields(metrics: Metrics) -> dict[str, Any]:
    """What an evaluation adds to the row of its step; what is not finite is left out."""
    found = {Goal(name).field: value for name, value in metrics.values.items()}
    return {name: value for name, value in found.items() if np.all(np.isfinite(value))}


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row with a field for each number of a list: `by_position_1`, ...; names that no run writes are left out."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, list):
            found |= {f"{name}_{place}": one for place, one in enumerate(value, start=1)}
        elif value is not None:
            found[name] = value
    return {name: value for name, value in found.items() if name.isidentifier()}


def evaluated_rows(rows: Sequence[dict[str, Any]], goal: Goal) -> list[dict[str, Any]]:
    """Those of the rows that have an evaluation."""
    return [row for row in rows if row.get(goal.field) is not None]


@dataclass(frozen=True)
class Reached:
    """When the goal metric was first as good as `until`, at an evaluation on the validation examples.

    value:   of the goal metric then
    seconds: of training, over all sittings
    """

    until: float
    step: int
    seconds: float
    value: float


def first_reached(run: Path, goal: Goal, until: float | None) -> Reached | None:
    """When a run reached its `until`, by its metrics; None where it did not, or has none."""
    if until is None:
        return None
    for row in evaluated_rows(checked_metrics(run, goal, evaluated=("seconds",)), goal):
        if goal.reached(row[goal.field], until):
            return Reached(float(until), row["step"], float(row["seconds"]), float(row[goal.field]))
    return None


def checked_metrics(run: Path, goal: Goal = EXACT_MATCH, evaluated: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The rows of a run's metrics; those that have an evaluation hold the goal and the numbers named by `evaluated`.

    Raises UserError, which names the file and the line, if a number is missing.
    """
    path = run / FILE_NAME
    rows = read_metrics(path)
    with as_user_error(f"{path}: not a run's metrics: "):
        for line, row in enumerate(rows, start=1):
            for name in (*IN_EVERY_ROW, *((goal.field, *evaluated) if evaluated_rows([row], goal) else ())):
                if name not in row:
                    raise ValueError(f"line {line} lacks {name}")
                expect(f"line {line}: {name}", row[name], is_number(row[name]), "a number")
    return rows


def trim_metrics(path: Path, last_step: int) -> None:
    """Drop the rows past `last_step` and any torn line: a resumed run measures those steps again."""
    if path.is_file():
        write_objects(path, [row for row in read_metrics(path) if row["step"] <= last_step])


def write_objects(path: Path, objects: list[dict[str, Any]]) -> None:
    """Write a file of lines anew: it appears whole or not at all."""
    write_text(path, "".join(json.dumps(value) + "\n" for value in objects))
