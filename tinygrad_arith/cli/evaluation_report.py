"""An evaluation as tables for people and as plain values for JSON."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..tasks.answers import Answer
from ..tasks.scoring import GroupScore, wilson_interval
from ..training.evaluation import Breakdown, Evaluation
from .console import as_share, console, data_table

if TYPE_CHECKING:
    from rich.table import Table

COLUMN_EDGES = 2  # characters that a table adds to each column


def evaluation_tables(breakdown: Breakdown) -> list["Table"]:
    """A table for each group of the task (operand length, longest carry chain, ...), and one by place in the answer."""
    tables = [score_table(f"by {title}", title, scores) for title, scores in breakdown.by_group.items()]
    title = "by place in the answer (tokens, not whole answers)"
    places = score_table(title, "token of the answer", breakdown.by_position)
    return [*tables, places]


def score_table(title: str, group: str, scores: Iterable[GroupScore]) -> "Table":
    """A row per group: how many there are, how many were right, the share and its interval."""
    table = data_table(title, (group, "count", "right", "share", "95 % interval"), map(score_row, scores))
    for column in table.columns:
        column.justify = "right"
    return table


def score_row(score: GroupScore) -> tuple[str, ...]:
    """A group as the cells of a table."""
    interval = interval_in_words(wilson_interval(score.correct, score.total))
    share = as_share(score.correct / score.total)
    return str(score.group), f"{score.total:,}", f"{score.correct:,}", share, interval


def answers_table(title: str, answers: Sequence[Answer]) -> "Table":
    """Problems with the model's answers; on a terminal too narrow for them, a statement is broken before its `=`."""
    columns = ("true result", "prompt", "answer", "right answer")
    rows = [answer_row(answer) for answer in answers]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    if sum(widths) + COLUMN_EDGES * len(columns) > console().width:
        rows = [(statement.replace(" = ", "\n= "), *others) for statement, *others in rows]
    return data_table(title, columns, rows)


def answer_row(answer: Answer) -> tuple[str, ...]:
    """A problem as the cells of a table."""
    return answer.statement, answer.prompt, answer.answer, "the same" if answer.right else answer.right_answer


def share_in_words(correct: int, total: int, of: str) -> str:
    """`99.99% of 10,000 test problems (9,999 right)`; `of` names the problems."""
    return f"{as_share(correct / total)} of {total:,} {of} ({correct:,} right)"


def interval_in_words(interval: tuple[float, float]) -> str:
    """The interval of a share: `99.96% to 100.00%`."""
    low, high = interval
    return f"{as_share(low)} to {as_share(high)}"


def evaluation_values(evaluation: Evaluation, breakdown: Breakdown) -> dict[str, Any]:
    """The evaluation with all its breakdowns as values that JSON can hold."""
    lengths = breakdown.by_lengths
    groups = {f"by_{title.replace(' ', '_')}": score_values(scores) for title, scores in breakdown.by_group.items()}
    values: dict[str, Any] = {
        "count": evaluation.count,
        "correct": evaluation.correct,
        "exact_match": evaluation.exact_match,
        "interval_95": list(evaluation.interval),
        "loss": evaluation.loss if math.isfinite(evaluation.loss) else None,
        **groups,
        "by_answer_position": score_values(breakdown.by_position),
    }
    if lengths is not None:
        values["by_operand_lengths"] = {"correct": lengths[0].tolist(), "count": lengths[1].tolist()}
    return values


def score_values(scores: Iterable[GroupScore]) -> list[dict[str, Any]]:
    """Groups as dictionaries."""
    return [
        {"group": score.group, "count": score.total, "correct": score.correct, "share": score.correct / score.total}
        for score in scores
    ]
