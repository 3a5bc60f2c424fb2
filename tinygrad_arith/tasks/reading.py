"""How a problem that a person typed was read."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reading:
    """A typed problem, and how it was read.

    problem: the one problem
    decimal: whether its numbers were read in decimal, and not as the task writes them
    note:    a sentence on how it was read, where that may surprise; None where there is one reading only
    """

    problem: Any
    decimal: bool = False
    note: str | None = None
