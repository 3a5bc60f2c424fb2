"""What tasks hand out beside batches: problems for scoring, text for people."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np


class Problem(NamedTuple):
    """One problem as text: `Problem("1011+110=", "00001.")`."""

    prompt: str
    answer: str


class ProblemArrays:
    """`n` problems as arrays of n rows: the fields of a frozen dataclass."""

    def __len__(self) -> int:
        return len(next(iter(vars(self).values())))

    def __getitem__(self, rows) -> Self:
        """The problems of a slice, an index array or a bool mask."""
        return type(self)(*(array[rows] for array in vars(self).values()))

    def chunks(self, size: int) -> Iterator[Self]:
        """The problems in order, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]


@dataclass(frozen=True)
class Problems(ProblemArrays):
    """Pairs of operands as digits, least significant first: numbers of any length, no 64-bit limit.

    first, second: uint8 (n, D), zeros above the leading digit
    """

    first: np.ndarray
    second: np.ndarray


@dataclass(frozen=True)
class EnumeratedProblems(ProblemArrays):
    """Problems of a task that numbers them.

    indices: int64 (n,)
    """

    indices: np.ndarray
