"""What a trainer tells while it works. `progress.py` shows it to people; tests and scripts have their own."""

from pathlib import Path
from typing import Any


class Reporter:
    """Is told what the trainer does. This one does nothing; override what you want to be told.

    output_error: why its output cannot be written any more (its reader has left, the disk is full), upon which the
                  trainer saves and stops; None while it can.
    stop:         whether somebody who was told wants the training to end; it saves first
    """

    output_error: OSError | None = None
    stop: bool = False

    def started(self, step: int, steps: int) -> None:
        """Training begins, with `step` of `steps` steps done already."""

    def stepped(self, row: dict[str, Any]) -> None:
        """A step is done; `row` is its line of `metrics.jsonl`."""

    def saved(self, step: int, path: Path) -> None:
        """A checkpoint is complete."""

    def ended(self) -> None:
        """Training ends: done, stopped or failed."""
