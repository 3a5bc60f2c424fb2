"""The norm of the Julia article's code, which window models call "batch-tensor".

https://zenn.dev/char/articles/afdf5b9a1d46eb
"""

from ..autograd import Tensor
from ..nn import Module, Parameter
from ..nn.initializers import ONES, ZEROS
from ..ops.numbers import require_not_negative


class BatchTensorNorm(Module):
    """Normalises a whole batch to mean 0 and variance 1, as if it were one row; scale and shift as in `LayerNorm`.

    This is what `LayerNorm` of Lux.jl 0.5.6 does by default (dims=Colon()), which the window model of the Julia article
    was trained with. What comes out for one example depends on the others beside it, padding included.
    """

    def __init__(self, channels: int, eps: float = 1e-5):
        self.weight = Parameter((channels,), ONES, decay=False)
        self.bias = Parameter((channels,), ZEROS, decay=False)
        require_not_negative("BatchTensorNorm", eps=eps)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:  # (..., C) -> (..., C)
        axes = tuple(range(x.ndim))
        centered = x - x.mean(axis=axes, keepdims=True)  # (..., C)
        variance = (centered * centered).mean(axis=axes, keepdims=True)  # (1, ..., 1)
        normalized = centered / (variance + self.eps).sqrt()  # (..., C)
        return normalized * self.weight + self.bias
