"""What the compare door prints: one table, a group of runs in each row."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .comparison import THRESHOLDS, Group, Spread, spreads
from .console import as_share, data_table

if TYPE_CHECKING:
    from rich.table import Table

IN_WORDS = {0.99: "99 %", 0.999: "99.9 %"}


def comparison_table(groups: Sequence[Group]) -> "Table":
    """Medians over the seeds of each group and, below them, their ranges."""
    columns = ["", "runs", "exact match\nof the test"]
    columns += [f"{what}\nto {IN_WORDS[t]}" for t in THRESHOLDS for what in ("steps", "seconds")]
    title = "medians over seeds, and from the lowest to the highest"
    table = data_table(title, (*columns, "loss", "seconds"), map(comparison_row, groups))
    table.columns[0].overflow = "fold"  # a name that is too long is broken, not cut off
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def comparison_row(group: Group) -> list[str]:
    """A group as a row of the table."""
    found = spreads(group.runs)
    cells = [group.label, str(len(group.runs)), in_lines(found["exact_match"], as_share)]
    for threshold in THRESHOLDS:
        cells.append(in_lines(found[f"steps_to_{threshold}"], as_steps))
        cells.append(in_lines(found[f"seconds_to_{threshold}"], as_seconds))
    return [*cells, in_lines(found["loss"], as_loss), in_lines(found["seconds"], as_seconds)]


def in_lines(spread: Spread, written: Callable[[float], str]) -> str:
    """The median, and below it the range; nothing there if all values read the same."""
    median, low, high = map(written, (spread.median, spread.low, spread.high))
    return median if low == high else f"{median}\n{low} to\n{high}"


def in_a_line(spread: Spread, written: Callable[[float], str]) -> str:
    """`median (low to high)`, or one value if all read the same."""
    median, low, high = map(written, (spread.median, spread.low, spread.high))
    return median if low == high else f"{median} ({low} to {high})"


def as_steps(steps: float) -> str:
    """A number of steps; a median may lie between two."""
    return "never" if math.isinf(steps) else f"{steps:,.0f}"


def as_seconds(seconds: float) -> str:
    """A time span in seconds, with a tenth below ten."""
    return "never" if math.isinf(seconds) else f"{seconds:,.{1 if seconds < 9.95 else 0}f}"


def as_loss(loss: float) -> str:
    """A loss in nats, with digits enough to tell small ones apart."""
    return f"{loss:.4f}" if loss >= 0.001 or loss == 0 else f"{loss:.1e}"
