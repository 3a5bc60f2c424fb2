"""The rows of a run's `metrics.jsonl`, checked for what pictures are drawn of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..training.errors import UserError
from ..training.metrics import FILE_NAME, read_metrics

EVERY_ROW = ("step", "loss")


def metrics_rows(run: Path, evaluated: Sequence[str] = ("exact_match",)) -> list[dict[str, Any]]:
    """The rows of a run; those that have an evaluation must hold the numbers named by `evaluated`, too.

    Raises UserError, which names the file and the line, if a number is missing.
    """
    path = run / FILE_NAME
    rows = read_metrics(path)
    for line, row in enumerate(rows, start=1):
        for name in (*EVERY_ROW, *(evaluated if row.get("exact_match") is not None else ())):
            if name not in row:
                raise UserError(f"{path}: not a run's metrics: line {line} lacks {name}")
            if isinstance(row[name], bool) or not isinstance(row[name], int | float):
                raise UserError(f"{path}: not a run's metrics: line {line}: {name} is {row[name]!r}, not a number")
    return rows
