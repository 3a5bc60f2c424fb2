"""What an evaluation measures: a goal metric, further numbers, and breakdowns that say where the mistakes lie."""

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .scoring import GroupScore, wilson_interval


class Goal(NamedTuple):
    """The metric that the models of a task are judged by.

    name:   in `Metrics.values` and in a run's files
    rising: whether more of it is better
    share:  whether it is a share of 1, which is told in percent
    """

    name: str
    rising: bool = True
    share: bool = True

    @property
    def title(self) -> str:
        """The name as people read it."""
        return self.name.replace("_", " ")

    @property
    def field(self) -> str:
        """Where a row of `metrics.jsonl` has its value: the loss is that of the training there."""
        return "validation_loss" if self.name == "loss" else self.name

    def reached(self, value: float | None, wanted: float | None) -> bool:
        """Whether a value is as good as the one that is wanted; not if there is none of the two."""
        if value is None or wanted is None:
            return False
        return value >= wanted if self.rising else value <= wanted


EXACT_MATCH = Goal("exact_match")  # the share of problems that are answered right in full


def goal_of(facts: dict[str, Any]) -> Goal:
    """The goal that a file of a run states; those of version 0.1 state none, and mean exact match.

    Raises ValueError, one sentence, if what is there is no goal.
    """
    if "goal" not in facts:
        return EXACT_MATCH
    goal, kinds = facts["goal"], {"name": str, "rising": bool, "share": bool}
    if (
        not isinstance(goal, dict)
        or {key: type(value) for key, value in goal.items()} != kinds
        or not goal["name"].isidentifier()
    ):
        raise ValueError(f"goal is {reprlib.repr(goal)}, not a table of name, rising and share")
    return Goal(**goal)


@dataclass(frozen=True)
class Groups:
    """Scores by what sets problems apart.

    title:    what that is: "operand length"
    scores:   one for each group
    heading:  over its table
    problems: whether whole problems are counted, and not the tokens of their answers
    """

    title: str
    scores: list[GroupScore]
    heading: str
    problems: bool = True


@dataclass(frozen=True)
class Grid:
    """Scores by two lengths: correct, count int64 (L, L), row = the first length - 1, column = the second - 1."""

    correct: np.ndarray
    count: np.ndarray


Breakdown = Groups | Grid


@dataclass(frozen=True, kw_only=True, repr=False)
class Metrics:
    """What was measured on `count` examples of a split.

    examples:   what they are called
    values:     all metrics by name, the goal and the "loss" among them: numbers, or lists of numbers
    correct:    where the goal is a share of the examples: how many it is
    break_down: makes the breakdowns, which take time, by the names that they have in JSON: "by_operand_length"
    """

    goal: Goal
    count: int
    values: dict[str, Any]
    examples: str = "problems"
    correct: int | None = None
    break_down: Callable[[], dict[str, Breakdown]] = dict

    @property
    def value(self) -> float:
        """The goal metric."""
        return self.values[self.goal.name]

    @property
    def loss(self) -> float:
        """The objective's loss a counted term: nats a token."""
        return self.values["loss"]

    @property
    def further(self) -> dict[str, float]:
        """The metrics beside goal and loss that are single numbers."""
        others = {name: value for name, value in self.values.items() if name not in (self.goal.name, "loss")}
        return {name: value for name, value in others.items() if isinstance(value, float)}

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of a goal that is a share (Wilson)."""
        return None if self.correct is None else wilson_interval(self.correct, self.count)

    @cached_property
    def breakdowns(self) -> dict[str, Breakdown]:
        """All of them."""
        return self.break_down()

    def __repr__(self) -> str:
        """The numbers, and of how many examples; not the arrays that they come from."""
        numbers = {name: value for name, value in self.values.items() if isinstance(value, int | float)}
        shown = [f"{name}={value:.6g}" for name, value in numbers.items()]
        return f"{type(self).__name__}({', '.join([*shown, f'count={self.count}'])})"

    @property
    def groups(self) -> dict[str, Groups]:
        """The breakdowns into groups."""
        return {name: part for name, part in self.breakdowns.items() if isinstance(part, Groups)}

    @property
    def grids(self) -> dict[str, Grid]:
        """The breakdowns by two lengths."""
        return {name: part for name, part in self.breakdowns.items() if isinstance(part, Grid)}


class Preview(NamedTuple):
    """A few examples of what a model does, as a table for people."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
