"""What tasks hand out: batches for models, problems for scoring, text for people."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..backend import on_device_of


class Batch(NamedTuple):
    """What a model is trained on: `B` samples of `T` tokens.

    tokens:    int64 (B, T)
    targets:   int64 (B, T), the next token; -1 where nothing is predicted that bears loss; (B, 1) where a row is a
               prefix, which has one next token
    weights:   None, or float of the targets' shape: how much each of them counts
    positions: None for 0, 1, ..., T - 1, or int64 (B, T)
    key_mask:  None where no token is padding, or bool (B, T), false on padding
    """

    tokens: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None = None
    positions: np.ndarray | None = None
    key_mask: np.ndarray | None = None

    def on_device_of(self, array: Any) -> "Batch":
        """The same batch where `array` lives."""
        return Batch._make(on_device_of(array, field) for field in self)


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
