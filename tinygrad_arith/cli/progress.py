"""Training as people watch it: a progress bar on a terminal, plain lines in a pipe."""

import time
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..tasks.metrics import EXACT_MATCH, Goal
from ..training.reporter import Reporter
from .console import as_duration, as_share, console, on_terminal


def make_reporter(goal: Goal) -> Reporter:
    """A bar if stdout is a terminal, lines otherwise."""
    return BarReporter(goal) if on_terminal() else LineReporter(goal)


def goal_in_words(row: dict[str, Any], goal: Goal) -> str | None:
    """The goal metric in a row of the metrics; None where it was not measured."""
    value = row.get(goal.field)
    if value is None:
        return None
    return as_share(value) if goal.share else f"{value:.4f}"


class LineReporter(Reporter):
    """One plain line for the first step of a sitting and one for each evaluation."""

    def __init__(self, goal: Goal = EXACT_MATCH):
        self.goal = goal

    def started(self, step: int, steps: int) -> None:
        """Start the clock of this sitting."""
        self.first, self.steps = step, steps
        self.began = time.perf_counter()

    def stepped(self, row: dict[str, Any]) -> None:
        """Print the line, if this step was evaluated or is the first."""
        goal = goal_in_words(row, self.goal)
        if goal is None and row["step"] != self.first + 1:
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
        """How long the remaining steps will take at the mean pace of this sitting."""
        pace = (time.perf_counter() - self.began) / (step - self.first)
        return as_duration(pace * (self.steps - step))


class BarReporter(Reporter):
    """A progress bar with step, loss, goal metric, examples per second and time left."""

    def __init__(self, goal: Goal):
        self.goal = goal

    def started(self, step: int, steps: int) -> None:
        """Draw the bar."""
        self.bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn(f"{self.goal.title} {{task.fields[goal]}}"),
            TextColumn("{task.fields[pace]} examples/s"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=console(),
            refresh_per_second=4,  # each redrawing takes time from the training
            expand=True,
        )
        self.line = self.bar.add_task("", total=steps, completed=step, loss="-", goal="-", pace="-")
        self.bar.start()

    def stepped(self, row: dict[str, Any]) -> None:
        """Move the bar."""
        fields: dict[str, Any] = {"loss": f"{row['loss']:.4f}", "pace": f"{row['examples_per_second']:,.0f}"}
        if (goal := goal_in_words(row, self.goal)) is not None:
            fields["goal"] = goal
        self.bar.update(self.line, completed=row["step"], **fields)

    def ended(self) -> None:
        """Leave the bar as it stands."""
        self.bar.stop()
