"""What several trainings tell while they work. `cli/comparison_progress.py` shows it to people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .jobs import Job


class JobsReporter:
    """Hears how the training of several runs goes. This one says nothing; override what you want to hear.

    unheard: why what it says cannot be written any more; None while it can. All runs are then stopped.
    """

    unheard: OSError | None = None

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
