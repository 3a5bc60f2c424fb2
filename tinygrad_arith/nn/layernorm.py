"""Layer normalisation with its scale and shift."""

from ..autograd import Tensor
from ..autograd import functions as F
from ..ops.numbers import require_not_negative
from .initializers import ONES, ZEROS
from .module import Module
from .parameter import Parameter


class LayerNorm(Module):
    """Normalises the last axis to mean 0 and variance 1; then scales by weight (C,), from 1, adds bias (C,), from 0."""

    def __init__(self, channels: int, eps: float = 1e-5):
        self.weight = Parameter((channels,), ONES, decay=False)
        self.bias = Parameter((channels,), ZEROS, decay=False)
        require_not_negative("LayerNorm", eps=eps)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:  # (..., C) -> (..., C)
        return F.layernorm(x, self.weight, self.bias, self.eps)
