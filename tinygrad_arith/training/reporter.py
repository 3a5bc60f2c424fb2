"""What a trainer tells while it works. `progress.py` shows it to people; tests and scripts have their own."""

from collections.abc import Sequence
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

    def stopping(self, number: int) -> None:
        """A signal came that ends the training after this step. It is told at once, within a signal handler, which must
        not use what the training may be using just then, such as `print` or a lock.
        """

    def ended(self) -> None:
        """Training ends: done, stopped or failed."""


class Reporters(Reporter):
    """Several reporters, each of which is told everything, in this order."""

    def __init__(self, reporters: Sequence[Reporter]):
        self.reporters = reporters

    @property
    def output_error(self) -> OSError | None:  # type: ignore[override]
        """That of the first one that has one."""
        return next((one.output_error for one in self.reporters if one.output_error is not None), None)

    @property
    def stop(self) -> bool:  # type: ignore[override]
        """Whether one of them wants the training to end."""
        return any(one.stop for one in self.reporters)

    def started(self, step: int, steps: int) -> None:
        for one in self.reporters:
            one.started(step, steps)

    def stepped(self, row: dict[str, Any]) -> None:
        for one in self.reporters:
            one.stepped(row)

    def saved(self, step: int, path: Path) -> None:
        for one in self.reporters:
            one.saved(step, path)

    def stopping(self, number: int) -> None:
        for one in self.reporters:
            one.stopping(number)

    def ended(self) -> None:
        for one in self.reporters:
            one.ended()
