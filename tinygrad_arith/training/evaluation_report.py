"""An evaluation as tables for people and as plain values for JSON."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..tasks.scoring import GroupScore, wilson_interval
from .console import data_table
from .evaluation import Breakdown, Evaluation

if TYPE_CHECKING:
    from rich.table import Table


def evaluation_tables(breakdown: Breakdown) -> list["Table"]:
    """The three tables: by operand length, by longest carry chain, by place in the answer."""
    return [
        score_table("by operand length", "digits of the longer operand", breakdown.by_length),
        score_table("by longest carry chain", "digits that a carry is handed on over", breakdown.by_carry_chain),
        score_table("by place in the answer (tokens, not whole answers)", "token of the answer", breakdown.by_position),
    ]


def score_table(title: str, group: str, scores: Iterable[GroupScore]) -> "Table":
    """A row per group: how many there are, how many were right, the share and its interval."""
    table = data_table(title, (group, "count", "right", "share", "95 % interval"), map(score_row, scores))
    for column in table.columns:
        column.justify = "right"
    return table


def score_row(score: GroupScore) -> tuple[str, ...]:
    """A group as the cells of a table."""
    share = f"{score.correct / score.total:.2%}"
    interval = interval_in_words(score.correct, score.total)
    return str(score.group), f"{score.total:,}", f"{score.correct:,}", share, interval


def interval_in_words(correct: int, total: int) -> str:
    """The 95 % interval of a share: `99.96% to 100.00%`."""
    low, high = wilson_interval(correct, total)
    return f"{low:.2%} to {high:.2%}"


def evaluation_values(evaluation: Evaluation, breakdown: Breakdown) -> dict[str, Any]:
    """The evaluation with all its breakdowns as values that JSON can hold."""
    correct, count = breakdown.by_lengths
    return {
        "count": evaluation.count,
        "correct": evaluation.correct,
        "exact_match": evaluation.exact_match,
        "interval_95": list(evaluation.interval),
        "by_operand_length": score_values(breakdown.by_length),
        "by_carry_chain": score_values(breakdown.by_carry_chain),
        "by_answer_position": score_values(breakdown.by_position),
        "by_operand_lengths": {"correct": correct.tolist(), "count": count.tolist()},
    }


def score_values(scores: Iterable[GroupScore]) -> list[dict[str, Any]]:
    """Groups as dictionaries."""
    return [
        {"group": score.group, "count": score.total, "correct": score.correct, "share": score.correct / score.total}
        for score in scores
    ]
