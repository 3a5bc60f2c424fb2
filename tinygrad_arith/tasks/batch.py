"""What tasks hand out beside batches: problems for scoring, text for people."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Problem(NamedTuple):
    """One problem as text: `Problem("1011+110=", "00001.")`."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class Problems:
    """`n` pairs of operands as digits, least significant first: numbers of any length, no 64-bit limit.

    first, second: uint8 (n, D), zeros above the leading digit
    """

    first: np.ndarray
    second: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, rows) -> "Problems":
        """The problems of a slice, an index array or a bool mask."""
        return Problems(self.first[rows], self.second[rows])

    def chunks(self, size: int) -> Iterator["Problems"]:
        """The problems in order, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]
