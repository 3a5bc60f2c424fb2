"""What several trainings tell while they work. `cli/comparison_progress.py` shows it to people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .jobs import Job


class JobsReporter:
    """Is told how the training of several runs goes. This one does nothing; override what you want to be told.

    output_error: why its output cannot be written any more, upon which all runs are stopped; None while it can.
    """

    output_error: OSError | None = None

    def started(self, jobs: "Sequence[Job]", finished: int) -> None:
        """The comparison begins; so many of its runs were finished before."""

    def begun(self, job: "Job") -> None:
        """A process was started."""

    def stepped(self, job: "Job", row: dict[str, Any]) -> None:
        """A run has come further; `row` is what the newest lines of its `metrics.jsonl` say."""

    def finished(self, job: "Job") -> None:
        """A run is trained and tested."""

    def stopped(self, job: "Job") -> None:
        """A run was stopped by a signal, and saved."""

    def failed(self, job: "Job", why: str) -> None:
        """A run failed; `why` is its last error line."""

    def closed(self) -> None:
        """Nothing runs any more."""
