"""Training as people watch it: a progress bar on a terminal, plain lines in a pipe."""

import contextlib
import os
import sys
import time
from collections.abc import Iterable
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from ..parallel.interrupts import FROM_KEYBOARD
from ..tasks.metrics import EXACT_MATCH, Goal
from ..training.reporter import Reporter
from .console import as_duration, as_share, console, on_terminal

STOPPING = "Ctrl-C: stopping after this step, which will be saved; Ctrl-C again stops at once and saves nothing"
SHORTEST_BAR = 8  # columns of the terminal
GAP = 1  # between two columns


def make_reporter(goal: Goal) -> Reporter:
    """A bar if stdout is a terminal, lines otherwise."""
    return BarReporter(goal) if on_terminal() else LineReporter(goal)


def goal_in_words(row: dict[str, Any], goal: Goal) -> str | None:
    """The goal metric in a row of the metrics; None where it was not measured."""
    value = row.get(goal.field)
    if value is None:
        return None
    return as_share(value) if goal.share else f"{value:.4f}"


class WatchedReporter(Reporter):
    """Says at once that Ctrl-C has been heard."""

    def stopping(self, number: int) -> None:
        """Write a line on stderr, without Python's buffers and locks; on a terminal behind the `^C` that it shows."""
        if number in FROM_KEYBOARD:
            with contextlib.suppress(OSError, ValueError):  # stderr is closed, or no file of the system
                os.write(sys.stderr.fileno(), ("\n" * sys.stderr.isatty() + f"{STOPPING}\n").encode())


class LineReporter(WatchedReporter):
    """One plain line for the first step of a sitting and one for each evaluation."""

    def __init__(self, goal: Goal = EXACT_MATCH):
        self.goal = goal

    def started(self, step: int, steps: int) -> None:
        """Start the clock of this sitting."""
        self.first, self.steps = step, steps
        self.began = time.perf_counter()  # set anew after the first step, in which much is made that then is there

    def stepped(self, row: dict[str, Any]) -> None:
        """Print the line, if this step was evaluated or is the first."""
        goal, is_first = goal_in_words(row, self.goal), row["step"] == self.first + 1
        if is_first:
            self.began = time.perf_counter()
        if goal is None and not is_first:
            return
        width = len(str(self.steps))
        parts = [
            f"step {row['step']:>{width}}/{self.steps}",
            f"loss {row['loss']:7.4f}",
            f"{self.goal.title} {goal or '-':>7}",
            f"{row['examples_per_second']:>9,.0f} examples/s",
            f"{self.time_left(row['step'])} left",
        ]
        try:
            print("  ".join(parts), flush=True)
        except OSError as error:
            self.output_error = error

    def time_left(self, step: int) -> str:
        """How long the remaining steps will take at the mean pace of this sitting, its first step left out; `-` where
        there is no other yet.
        """
        done = step - self.first - 1
        if not done:
            return "-"
        pace = (time.perf_counter() - self.began) / done
        return as_duration(pace * (self.steps - step))


class BarReporter(WatchedReporter):
    """A progress bar with step, time left, goal metric, loss and examples per second, as many as there is room for."""

    def __init__(self, goal: Goal):
        self.goal = goal

    def started(self, step: int, steps: int) -> None:
        """Draw the bar."""
        columns = {  # each with its rank: those of rank 0 are always there, then the lowest ones that there is room for
            TextColumn("step"): 0,
            MofNCompleteColumn(table_column=Column(no_wrap=True)): 0,
            BarColumn(bar_width=None, table_column=Column(ratio=1)): 2,
            TextColumn("loss {task.fields[loss]}"): 3,
            TextColumn(f"{self.goal.title} {{task.fields[goal]}}"): 1,
            TextColumn("{task.fields[pace]} examples/s"): 4,
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)): 0,
            TextColumn("left"): 0,
        }
        self.bar = FittingProgress(
            columns,
            console=console(),
            refresh_per_second=4,  # each redrawing takes time from the training
        )
        self.line = self.bar.add_task("", total=steps, completed=step, loss="-", goal="-", pace="-")
        self.bar.start()

    def show_above(self, text: str) -> None:
        """Show lines over the bar. Another console knows nothing of the bar, and would write into it."""
        self.bar.console.print(Text(text))

    def stepped(self, row: dict[str, Any]) -> None:
        """Move the bar."""
        fields: dict[str, Any] = {"loss": f"{row['loss']:.4f}", "pace": f"{row['examples_per_second']:,.0f}"}
        if (goal := goal_in_words(row, self.goal)) is not None:
            fields["goal"] = goal
        self.bar.update(self.line, completed=row["step"], **fields)

    def ended(self) -> None:
        """Leave the bar as it stands."""
        self.bar.stop()


class FittingProgress(Progress):
    """A progress bar that leaves out, on a narrow terminal, what matters least; the terminal may change its width.

    ranks: the columns from left to right, each with its rank: 0 for those that are always there
    """

    def __init__(self, ranks: dict[ProgressColumn, int], **options: Any):
        self.ranks = ranks
        super().__init__(*ranks, **options)

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """The bar, as wide as the terminal is now."""
        tasks = list(tasks)
        self.columns = self.fitting(tasks[0]) if tasks else tuple(self.ranks)
        self.expand = any(isinstance(column, BarColumn) for column in self.columns)  # else gaps would grow
        return super().make_tasks_table(tasks)

    def fitting(self, task: Task) -> tuple[ProgressColumn, ...]:
        """The columns that there is room for, from left to right."""
        chosen: list[ProgressColumn] = []
        for column, rank in sorted(self.ranks.items(), key=lambda item: item[1]):
            widths = [width_of(one, task) + GAP for one in (*chosen, column)]
            if rank == 0 or sum(widths) - GAP <= self.console.width:
                chosen.append(column)
        return tuple(column for column in self.ranks if column in chosen)


def width_of(column: ProgressColumn, task: Task) -> int:
    """How many columns of the terminal one of the bar takes, at least."""
    rendered = column(task)
    return rendered.cell_len if isinstance(rendered, Text) else SHORTEST_BAR
