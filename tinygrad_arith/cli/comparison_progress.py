"""A comparison as people watch it: bars on a terminal, plain lines in a pipe."""

import time
from collections.abc import Sequence
from typing import IO, Any

from ..comparisons.jobs import Job, JobsReporter
from ..tasks.metrics import Goal
from .progress import goal_in_words

STATUS_EVERY = 30.0  # seconds between lines that say how far the runs have come


def in_words(row: dict[str, Any], goal: Goal) -> str:
    """The loss and, if it was measured, the goal metric."""
    words = f"loss {row['loss']:7.4f}" if "loss" in row else f"loss {'-':>7}"
    value = goal_in_words(row, goal)
    return words + (f"  {goal.title} {value:>7}" if value is not None else "")


class LineJobsReporter(JobsReporter):
    """A line for the end of each run and, every half minute, one for each that is under way."""

    def __init__(self, stream: IO[str]):
        self.stream = stream

    def started(self, jobs: Sequence[Job], finished: int) -> None:
        """Say how many runs there are."""
        self.total, self.done = len(jobs), finished
        self.width = max((len(job.name) for job in jobs), default=0)
        self.newest: dict[str, dict[str, Any]] = {}
        self.told = time.monotonic()
        self.say(f"{self.total} runs" + (f", {finished} of them finished before" if finished else ""))

    def stepped(self, job: Job, row: dict[str, Any]) -> None:
        """Remember it; tell about all runs that are under way, if it is time."""
        self.newest.setdefault(job.name, {}).update(row, steps=job.steps, goal=job.goal)
        if time.monotonic() - self.told > STATUS_EVERY:
            self.told = time.monotonic()
            for name, newest in self.newest.items():
                step = f"{newest['step']:,}".rjust(len(f"{newest['steps']:,}"))
                self.tell(name, f"step {step} of {newest['steps']:,}  {in_words(newest, newest['goal'])}")

    def ended(self, job: Job, failure: str | None, stopped: bool) -> None:
        """Say how, with the last that was measured."""
        newest = self.newest.pop(job.name, {})
        if failure is None:
            self.done += 1
            done = f"{self.done}".rjust(len(f"{self.total}"))
            self.tell(job.name, f"done ({done} of {self.total})  {in_words(newest, job.goal)}")
        elif stopped:
            self.tell(job.name, f"stopped at step {newest.get('step', 0):,} of {job.steps:,}")
        else:
            self.tell(job.name, f"failed: {failure}")

    def tell(self, name: str, words: str) -> None:
        """Print a line about a run; all names take the same room."""
        self.say(f"{name:<{self.width}}  {words}")

    def say(self, line: str) -> None:
        """Print a line now."""
        try:
            print(line, file=self.stream, flush=True)
        except OSError as error:
            self.output_error = error


class BarJobsReporter(LineJobsReporter):
    """A bar for all runs together and one for each that is under way; the ends of runs are lines above them."""

    def started(self, jobs: Sequence[Job], finished: int) -> None:
        """Draw the bars."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            TimeElapsedColumn(),
            console=Console(file=self.stream, highlight=False),
            refresh_per_second=4,
        )
        self.bars.start()
        super().started(jobs, finished)
        self.whole = self.bars.add_task("runs", total=self.total, completed=finished, words="")
        self.lines: dict[str, Any] = {}

    def begun(self, job: Job) -> None:
        """A bar of its own."""
        self.lines[job.name] = self.bars.add_task(job.name, total=job.steps, words="")

    def stepped(self, job: Job, row: dict[str, Any]) -> None:
        """Move its bar."""
        newest = self.newest.setdefault(job.name, {})
        newest |= row
        words = f"loss {newest['loss']:.4f} {goal_in_words(newest, job.goal) or ''}".rstrip()
        self.bars.update(self.lines[job.name], completed=newest["step"], words=words)

    def ended(self, job: Job, failure: str | None, stopped: bool) -> None:
        """Take its bar away and move that of all runs."""
        self.bars.remove_task(self.lines.pop(job.name))
        super().ended(job, failure, stopped)
        self.bars.update(self.whole, completed=self.done)

    def closed(self) -> None:
        """Take the bars away."""
        self.bars.remove_task(self.whole)
        self.bars.stop()

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self.bars.console.print(line, markup=False, soft_wrap=True)
