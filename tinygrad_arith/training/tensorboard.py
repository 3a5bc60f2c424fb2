"""The metrics of a training as events for TensorBoard; needs the package tensorboardX."""

import importlib.util
from pathlib import Path
from typing import Any

from ..options.errors import MachineError
from ..run_files.metrics import flat
from .reporter import Reporter


def is_installed() -> bool:
    """Whether the package that writes the events can be imported."""
    return importlib.util.find_spec("tensorboardX") is not None


def check_tensorboard() -> None:
    """Raise MachineError, one sentence, if the package that writes the events is missing."""
    if not is_installed():
        raise MachineError('--tensorboard: needs tensorboardX: pip install -e ".[tensorboard]"')


class TensorBoardReporter(Reporter):
    """Writes every number that a step measured into a folder that TensorBoard reads, under its name in the metrics.

    A run that goes on adds to the same folder; what TensorBoard has of later steps is left out there from then on.
    """

    def __init__(self, folder: Path):
        """Raises MachineError if the package that writes the events is missing."""
        check_tensorboard()
        self.folder = folder

    def started(self, step: int, steps: int) -> None:
        """Open the file of this sitting."""
        from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(logdir=str(self.folder), purge_step=step + 1 if step else None)

    def stepped(self, row: dict[str, Any]) -> None:
        """Write the numbers of a step."""
        for name, value in flat(row).items():
            if name != "step":
                self.writer.add_scalar(name, value, row["step"])

    def ended(self) -> None:
        """Close the file."""
        self.writer.close()
