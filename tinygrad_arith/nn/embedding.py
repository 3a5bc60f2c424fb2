"""A table of vectors, looked up by id."""

from ..autograd import Tensor
from ..autograd import functions as F
from ..ops.numbers import require_sizes
from .initializers import ZEROS, Normal
from .module import Module
from .parameter import Parameter


class Embedding(Module):
    """ids -> rows of weight (V, C), which starts normal with the given standard deviation.

    bias: adds one (C,), from zero, to every row: a linear map of one-hot vectors, as some models write it
    """

    def __init__(self, vocabulary: int, channels: int, *, std: float = 1.0, bias: bool = False):
        require_sizes("Embedding", vocabulary=vocabulary, channels=channels)
        self.weight = Parameter((vocabulary, channels), Normal(std), decay=True)
        self.bias = Parameter((channels,), ZEROS, decay=False) if bias else None

    def forward(self, ids) -> Tensor:  # (...) int -> (..., C)
        """Raises IndexError for an id outside 0..V-1 (ids on a GPU are not read: there its vector is NaN)."""
        rows = F.embedding(ids, self.weight)  # (..., C)
        return rows if self.bias is None else rows + self.bias
