"""The shapes of the attention benchmark, by name: B/NH/T/HS (batch, heads, positions, head size) and the dtype."""

from __future__ import annotations

import re
from typing import NamedTuple

NAME = re.compile(r"(\d+)/(\d+)/(\d+)/(\d+)(?: (bfloat16|float32))?")
BACKWARD_OVER_FORWARD = 2.5  # five matrix multiplications instead of two
MOST_POSITIONS = 16384  # the check holds T x T numbers of a head in float64
NAIVE_LIMIT = 3e12  # operations; more take the naive kernel the better part of a second


class Shape(NamedTuple):
    """Causal self-attention: B sequences of T positions, NH heads of size HS."""

    batch: int
    heads: int
    positions: int
    head_size: int
    dtype: str = "bfloat16"

    @property
    def name(self) -> str:
        """ "16/12/1024/64 bfloat16"."""
        return f"{self.batch}/{self.heads}/{self.positions}/{self.head_size} {self.dtype}"

    @property
    def flop(self) -> float:
        """Operations of the forward: two matrix multiplications over the lower half of T x T."""
        return 4 * self.batch * self.heads * self.positions**2 * self.head_size / 2

    @property
    def naive_flop(self) -> float:
        """Operations of the naive forward, where each of the HS numbers of a query computes all of its scores."""
        return self.flop * self.head_size


SHAPES = (
    Shape(16, 12, 1024, 64),  # GPT-2
    Shape(4, 16, 4096, 64),
    Shape(4, 16, 4096, 128),
    Shape(2, 16, 8192, 128),
    Shape(1, 16, 16384, 64),
    Shape(16, 12, 1024, 24),
    Shape(16, 12, 1024, 32),
    Shape(16, 12, 1024, 48),
    Shape(192, 4, 32, 32),  # arithmetic batches, here and below
    Shape(256, 6, 64, 64),
    Shape(16, 12, 1024, 64, "float32"),
    Shape(4, 16, 4096, 64, "float32"),
    Shape(192, 4, 32, 32, "float32"),
    Shape(192, 4, 64, 24, "float32"),
)
QUICK = (Shape(16, 12, 1024, 64), Shape(192, 4, 32, 32), Shape(16, 12, 1024, 64, "float32"))
TABLE_SHAPES = (*QUICK, Shape(4, 16, 4096, 128))  # the columns of the table in docs/cuda.md


def find_shape(name: str) -> Shape:
    """The shape of a name like "16/12/1024/64" or "16/12/1024/64 float32". Raises ValueError."""
    found = NAME.fullmatch(name.strip())
    if not found or "0" in found.groups():
        raise ValueError(f"{name!r}: must be B/NH/T/HS, four positive integers, then nothing, bfloat16 or float32")
    shape = Shape(*map(int, found.groups()[:4]), found[5] or "bfloat16")
    if shape.positions > MOST_POSITIONS:
        raise ValueError(f"{name!r}: T must be at most {MOST_POSITIONS}")
    return shape
