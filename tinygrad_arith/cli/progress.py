"""Training as people watch it: a progress bar on a terminal, plain lines in a pipe."""

import time
from typing import Any

from ..training.reporter import Reporter
from .console import as_duration, as_share, console, on_terminal


def make_reporter() -> Reporter:
    """A bar if stdout is a terminal, lines otherwise."""
    return BarReporter() if on_terminal() else LineReporter()


class LineReporter(Reporter):
    """One plain line for the first step of a sitting and one for each evaluation."""

    def started(self, step: int, steps: int) -> None:
        """Start the clock of this sitting."""
        self.first, self.steps = step, steps
        self.began = time.perf_counter()

    def stepped(self, row: dict[str, Any]) -> None:
        """Print the line, if this step was evaluated or is the first."""
        if "exact_match" not in row and row["step"] != self.first + 1:
            return
        width = len(str(self.steps))
        parts = [
            f"step {row['step']:>{width}}/{self.steps}",
            f"loss {row['loss']:7.4f}",
            f"exact match {as_share(row['exact_match']) if 'exact_match' in row else '-':>7}",
            f"{row['examples_per_second']:>9,.0f} examples/s",
            f"{self.time_left(row['step'])} left",
        ]
        try:
            print("  ".join(parts), flush=True)
        except OSError as error:
            self.unheard = error

    def time_left(self, step: int) -> str:
        """How long the remaining steps will take at the mean pace of this sitting."""
        pace = (time.perf_counter() - self.began) / (step - self.first)
        return as_duration(pace * (self.steps - step))


class BarReporter(Reporter):
    """A progress bar with step, loss, exact match, examples per second and time left."""

    def started(self, step: int, steps: int) -> None:
        """Draw the bar."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("exact match {task.fields[exact_match]}"),
            TextColumn("{task.fields[pace]} examples/s"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=console(),
            refresh_per_second=4,  # each redrawing takes time from the training
            expand=True,
        )
        self.line = self.bar.add_task("", total=steps, completed=step, loss="-", exact_match="-", pace="-")
        self.bar.start()

    def stepped(self, row: dict[str, Any]) -> None:
        """Move the bar."""
        fields: dict[str, Any] = {"loss": f"{row['loss']:.4f}", "pace": f"{row['examples_per_second']:,.0f}"}
        if "exact_match" in row:
            fields["exact_match"] = as_share(row["exact_match"])
        self.bar.update(self.line, completed=row["step"], **fields)

    def ended(self) -> None:
        """Leave the bar as it stands."""
        self.bar.stop()
