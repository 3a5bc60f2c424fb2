"""Which norm a block uses, by name; among them two that only some published models have."""

from collections.abc import Callable

from ..autograd import Tensor
from .initializers import ONES, ZEROS
from .layernorm import LayerNorm
from .module import Module
from .parameter import Parameter
from .rmsnorm import RMSNorm


class BatchTensorNorm(Module):
    """Normalises a whole batch to mean 0 and variance 1, as if it were one row; scale and shift as in `LayerNorm`.

    This is what `LayerNorm` of Lux.jl 0.5.6 does by default (dims=Colon()), which the window model of the Julia article
    was trained with. What comes out for one example depends on the others beside it, padding included.
    """

    def __init__(self, channels: int, eps: float = 1e-5):
        self.weight = Parameter((channels,), ONES, decay=False)
        self.bias = Parameter((channels,), ZEROS, decay=False)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:  # (..., C) -> (..., C)
        axes = tuple(range(x.ndim))
        centered = x - x.mean(axis=axes, keepdims=True)  # (..., C)
        variance = (centered * centered).mean(axis=axes, keepdims=True)  # (1, ..., 1)
        normalized = centered / (variance + self.eps).sqrt()  # (..., C)
        return normalized * self.weight + self.bias


class Identity(Module):
    """No norm at all: Nanda's model of modular addition has none."""

    def forward(self, x: Tensor) -> Tensor:  # (...) -> (...)
        return x


NORMS: dict[str, Callable[[int], Module]] = {
    "layernorm": LayerNorm,
    "rmsnorm": RMSNorm,
    "batch-tensor": BatchTensorNorm,
}


def make_norm(normalization: str, channels: int) -> Module:
    """The norm of that name over (..., C): "layernorm", "rmsnorm", "batch-tensor" or "none"; ValueError for another."""
    if normalization == "none":
        return Identity()
    if normalization not in NORMS:
        raise ValueError(f"no normalization {normalization!r}: it must be one of {', '.join(NORMS)}, none")
    return NORMS[normalization](channels)
