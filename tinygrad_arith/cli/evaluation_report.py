"""An evaluation as tables for people and as plain values for JSON."""

import math
from typing import Any

from rich.table import Table

from ..tasks.metrics import Goal, Metrics, Preview
from ..tasks.scoring import GroupScore, wilson_interval
from .console import as_share, console, data_table

COLUMN_EDGES = 2  # characters that a table adds to each column


def evaluation_tables(metrics: Metrics) -> list[Table]:
    """A table for each breakdown into groups: by operand length, longest carry chain, ..., place in the answer.

    A row per group: how many there are, how many were right, the share and its interval.
    """
    tables = []
    for groups in metrics.groups.values():
        columns = (groups.title, "count", "right", "share", "95 % interval")
        tables.append(data_table(groups.heading, columns, map(score_row, groups.scores)))
        for column in tables[-1].columns:
            column.justify = "right"
    return tables


def score_row(score: GroupScore) -> tuple[str, ...]:
    """A group as the cells of a table."""
    interval = interval_in_words(wilson_interval(score.correct, score.total))
    share = as_share(score.correct / score.total)
    return str(score.group), f"{score.total:,}", f"{score.correct:,}", share, interval


def preview_table(preview: Preview) -> Table:
    """Examples as a table; on a terminal too narrow for them, what is in the first column is broken before its `=`."""
    rows = preview.rows
    widths = [max(map(len, column)) for column in zip(preview.columns, *rows, strict=True)]
    if sum(widths) + COLUMN_EDGES * len(widths) > console().width:
        rows = [(first.replace(" = ", "\n= "), *others) for first, *others in rows]
    return data_table(preview.title, preview.columns, rows)


def goal_facts(metrics: Metrics, of: str) -> list[tuple[str, str]]:
    """The goal metric in words, with its interval where it is a share; `of` names the examples."""
    if metrics.correct is None or metrics.interval is None:
        return [(metrics.goal.title, f"{metrics.value:.4g} on {metrics.count:,} {of}")]
    share = share_in_words(metrics.correct, metrics.count, of)
    return [(metrics.goal.title, share), ("95 % interval", interval_in_words(metrics.interval))]


def further_facts(metrics: Metrics) -> list[tuple[str, str]]:
    """The metrics beside the goal that are single numbers."""
    facts = [(Goal(name).title, f"{value:.4g}") for name, value in metrics.further.items()]
    return facts if metrics.goal.name == "loss" else [*facts, ("loss", f"{metrics.loss:.4g} nats per counted token")]


def share_in_words(correct: int, total: int, of: str) -> str:
    """`99.99% of 10,000 test problems (9,999 right)`; `of` names the problems."""
    return f"{as_share(correct / total)} of {total:,} {of} ({correct:,} right)"


def interval_in_words(interval: tuple[float, float]) -> str:
    """The interval of a share: `99.96% to 100.00%`."""
    low, high = interval
    return f"{as_share(low)} to {as_share(high)}"


def evaluation_values(metrics: Metrics) -> dict[str, Any]:
    """The goal, the loss and all breakdowns as values that JSON can hold."""
    values: dict[str, Any] = {"count": metrics.count, "correct": metrics.correct, metrics.goal.name: metrics.value}
    values |= {"interval_95": metrics.interval and list(metrics.interval)}
    values |= metrics.further | {"loss": metrics.loss if math.isfinite(metrics.loss) else None}
    values |= {name: [score_values(score) for score in groups.scores] for name, groups in metrics.groups.items()}
    grids = {name: {"correct": g.correct.tolist(), "count": g.count.tolist()} for name, g in metrics.grids.items()}
    return values | grids


def score_values(score: GroupScore) -> dict[str, Any]:
    """A group as plain values."""
    share = score.correct / score.total
    return {"group": score.group, "count": score.total, "correct": score.correct, "share": share}
