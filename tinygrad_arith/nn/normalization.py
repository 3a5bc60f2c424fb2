"""Which norm a block uses, by name."""

from collections.abc import Callable

from ..autograd import Tensor
from .layernorm import LayerNorm
from .module import Module
from .rmsnorm import RMSNorm


class Identity(Module):
    """No norm at all: Nanda's model of modular addition has none."""

    def forward(self, x: Tensor) -> Tensor:  # (...) -> (...)
        return x


NORMS: dict[str, type[LayerNorm] | type[RMSNorm]] = {"layernorm": LayerNorm, "rmsnorm": RMSNorm}


def make_norm(normalization: str | Callable[[int], Module], channels: int, eps: float = 1e-5) -> Module:
    """The norm of that name over (..., C): "layernorm", "rmsnorm" or "none"; ValueError for another name.

    `eps` is what a norm adds under its root.

    A module's class, or a function that makes a module for C channels, is called.
    """
    if not isinstance(normalization, str):
        return normalization(channels)
    if normalization == "none":
        return Identity()
    if normalization not in NORMS:
        raise ValueError(f"no normalization {normalization!r}: it must be one of {', '.join(NORMS)}, none")
    return NORMS[normalization](channels, eps)
