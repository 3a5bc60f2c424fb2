"""How a training is shown to who calls it from a program or a notebook."""

import signal
import sys
from typing import Any

from ..cli.console import on_terminal
from ..cli.progress import STOPPING, LineReporter, make_reporter
from ..tasks.metrics import Goal
from ..training.reporter import Reporter, Reporters


def reporters(calling: Reporter, goal: Goal) -> Reporter:
    """The callbacks, and what shows people how the training goes."""
    in_cell = sys.stderr is not sys.__stderr__ and not on_terminal()
    return Reporters([calling, CellReporter(goal) if in_cell else make_reporter(goal)])


class CellReporter(LineReporter):
    """Lines below the cell of a notebook, whose stderr is no file of the system: what a signal handler writes there
    would go to the terminal of the kernel. So that Ctrl-C was heard is told when the step is done.
    """

    heard = False

    def stopping(self, number: int) -> None:
        """Note it."""
        self.heard = self.heard or number == signal.SIGINT

    def stepped(self, row: dict[str, Any]) -> None:
        """Print the line, and what was heard."""
        super().stepped(row)
        if self.heard:
            print(STOPPING, file=sys.stderr, flush=True)
