"""A linear map with its weight and bias."""

import math

from ..autograd import Tensor
from ..autograd import functions as F
from ..ops.numbers import require_sizes
from .initializers import ZEROS, Normal
from .module import Module
from .parameter import Parameter


class Linear(Module):
    """y = x weight + bias over the last axis.

    weight (in, out) starts normal with standard deviation gain / sqrt(in); gain 1 keeps the variance of x (LeCun et al.
    1998, https://doi.org/10.1007/978-3-642-35289-8_3, section 4.6). bias (out,) starts at zero.
    """

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool = True, gain: float = 1.0):
        require_sizes("Linear", channels_in=channels_in, channels_out=channels_out)
        self.weight = Parameter((channels_in, channels_out), Normal(gain / math.sqrt(channels_in)), decay=True)
        self.bias = Parameter((channels_out,), ZEROS, decay=False) if bias else None

    def forward(self, x: Tensor) -> Tensor:  # (..., in) -> (..., out)
        return F.linear(x, self.weight, self.bias)
