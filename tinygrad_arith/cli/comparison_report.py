"""What the compare command prints: one table, a group of runs in each row."""

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..comparisons.finished_runs import THRESHOLDS, Group, Spread, spreads
from ..tasks.metrics import Goal
from .console import WIDTH_IN_A_PIPE, as_share, console, data_table

if TYPE_CHECKING:
    from rich.table import Table

NARROW_LABEL = 17  # characters of a name on a terminal that is too narrow for the whole table


def comparison_table(groups: Sequence[Group]) -> "Table":
    """Medians over the seeds of each group and, below them, their ranges, as much of it as stdout has room for."""
    out, table = console(), table_of(groups, wide=True)
    needed = out.measure(table, options=out.options.update(max_width=WIDTH_IN_A_PIPE)).maximum
    return table if needed <= out.width else table_of(groups, wide=False)


def table_of(groups: Sequence[Group], wide: bool) -> "Table":
    """The whole table, or one of 80 characters: names are broken, and no seconds to a share of right answers."""
    goals = {group.runs[0].goal.name for group in groups}
    columns = figures_of(Goal(goals.pop() if len(goals) == 1 else "goal_metric"), wide)
    title = "medians over seeds, and from the lowest to the highest"
    rows = [comparison_row(group, wide) for group in groups]
    table = data_table(title, ("", "runs", *(heading for heading, _, _ in columns)), rows)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def comparison_row(group: Group, wide: bool) -> list[str]:
    """A group as a row of the table."""
    found, pattern = spreads(group.runs), "{}\n{} to\n{}" if wide else "{}\n{}\n{}"
    cells = [in_words(found[name], written, pattern) for _, name, written in figures_of(group.runs[0].goal, wide)]
    label = group.label if wide else "\n".join(textwrap.wrap(group.label, NARROW_LABEL))  # at spaces and hyphens
    return [label, str(len(group.runs)), *cells]


def figures_of(goal: Goal, wide: bool) -> list[tuple[str, str, Callable[[float], str]]]:
    """The figures of a row: the heading, the name among the spreads, and how its values are written.

    Only to a share of right answers is it told how soon a run came.
    """
    heading = f"{goal.title}\nof the test" if wide else goal.title.replace(" ", "\n")
    figures: list[tuple[str, str, Callable[[float], str]]]
    figures = [(heading, goal.name, as_share if goal.share else as_loss)]
    for threshold in THRESHOLDS:
        for what, written in (("steps", as_steps), ("seconds", as_seconds))[: 1 + wide]:
            shown = written if goal.share else as_nothing
            figures.append((f"{what} to\n{100 * threshold:g} %", f"{what}_to_{threshold}", shown))
    return [*figures, ("training\nloss", "loss", as_loss), ("seconds", "seconds", as_seconds)]


def in_words(spread: Spread, written: Callable[[float], str], pattern: str = "{} ({} to {})") -> str:
    """The median and the range, or one value if all read the same."""
    median, low, high = map(written, (spread.median, spread.low, spread.high))
    return median if low == high else pattern.format(median, low, high)


def as_nothing(value: float) -> str:
    """Of what a goal does not have."""
    return "-"


def as_steps(steps: float) -> str:
    """A number of steps; a median may lie between two."""
    return "never" if math.isinf(steps) else f"{steps:,.0f}"


def as_seconds(seconds: float) -> str:
    """A time span in seconds, with a tenth below ten."""
    return "never" if math.isinf(seconds) else f"{seconds:,.{1 if seconds < 9.95 else 0}f}"


def as_loss(loss: float) -> str:
    """A loss in nats, with digits enough to tell small ones apart."""
    return f"{loss:.4f}" if loss >= 0.001 or loss == 0 else f"{loss:.1e}"
