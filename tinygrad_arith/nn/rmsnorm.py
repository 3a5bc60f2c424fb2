"""Root-mean-square normalisation with its scale."""

from ..autograd import Tensor
from ..autograd import functions as F
from ..ops.numbers import require_not_negative
from .initializers import ONES
from .module import Module
from .parameter import Parameter


class RMSNorm(Module):
    """Divides the last axis by its root mean square; then scales by weight (C,), from 1. It has no bias."""

    def __init__(self, channels: int, eps: float = 1e-5):
        self.weight = Parameter((channels,), ONES, decay=False)
        require_not_negative("RMSNorm", eps=eps)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:  # (..., C) -> (..., C)
        return F.rmsnorm(x, self.weight, self.eps)
