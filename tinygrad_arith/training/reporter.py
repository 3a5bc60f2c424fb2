"""What a trainer tells while it works. `progress.py` shows it to people; tests and scripts may listen instead."""

from pathlib import Path
from typing import Any


class Reporter:
    """Hears what the trainer does. This one says nothing; override what you want to hear.

    unheard: why what it says cannot be written any more (its reader has left, the disk is full); None while it can.
             The trainer then saves and stops.
    """

    unheard: OSError | None = None

    def started(self, step: int, steps: int) -> None:
        """Training begins, with `step` of `steps` steps done already."""

    def stepped(self, row: dict[str, Any]) -> None:
        """A step is done; `row` is its line of `metrics.jsonl`."""

    def saved(self, step: int, path: Path) -> None:
        """A checkpoint is complete."""

    def ended(self) -> None:
        """Training ends: done, stopped or failed."""
