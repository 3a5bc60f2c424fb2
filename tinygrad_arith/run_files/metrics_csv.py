"""A run's metrics as a table of comma-separated values, for spreadsheets and other programs."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files.writing import write_text
from ..options.errors import UserError
from .metrics import FILE_NAME, flat, read_metrics

CSV_NAME = "metrics.csv"


def write_csv(run: Path, path: Path) -> Path:
    """Write what a run's `metrics.jsonl` holds as a CSV file (UTF-8): a line a step, the names in the first; returns
    its path.

    Raises UserError if the run has measured nothing yet, or the file is damaged.
    """
    rows = read_metrics(run / FILE_NAME)
    if not rows:
        raise UserError(f"{run}: has no {FILE_NAME} yet, or nothing in it")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, as_csv(rows))
    return path


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of metrics as CSV. A list has a column for each of its numbers; a cell of what was not measured is empty."""
    lines = [flat(row) for row in rows]
    names = dict.fromkeys(name for line in lines for name in line)
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(lines)
    return text.getvalue()
