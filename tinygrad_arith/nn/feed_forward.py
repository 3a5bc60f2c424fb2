"""The feed-forward network of a transformer block, plain or with a gate."""

from ..autograd import Tensor
from ..autograd import functions as F
from ..ops import ShapeError
from ..ops.ffn import ACTIVATIONS
from ..ops.numbers import require_sizes
from .linear import Linear
from .module import Module

GATED = {"swiglu": "silu", "swish": "silu", "geglu": "gelu-exact", "reglu": "relu"}  # as others call them


def require_activation(activation: str) -> None:
    """Raises ShapeError for an activation that the feed-forward networks do not have."""
    if activation not in ACTIVATIONS:
        ours = GATED.get(str(activation).lower())
        hint = f" ({ours!r} in a GatedFeedForward)" if ours else ""
        raise ShapeError(f"no activation {activation!r}{hint}: it must be one of {', '.join(ACTIVATIONS)}")


class FeedForward(Module):
    """C -> F -> C with an activation between: "relu", "gelu" (tanh form), "gelu-exact" or "silu". One fused operation.

    gain, output_gain: of the initial weights, up and down; see `Linear`
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        activation: str = "gelu",
        *,
        bias: bool = True,
        gain: float = 1.0,
        output_gain: float = 1.0,
    ):
        require_activation(activation)
        self.up = Linear(channels, hidden, bias=bias, gain=gain)
        self.down = Linear(hidden, channels, bias=bias, gain=output_gain)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:  # (..., C) -> (..., C)
        return F.ffn(x, self.up.weight, self.up.bias, self.down.weight, self.down.bias, self.activation)


class GatedFeedForward(Module):
    """C -> F -> C with a gate: activation(x Wg) times x Wu goes down (Shazeer 2020, arXiv 2002.05202). Activations are
    "silu" (SwiGLU), "gelu" (tanh form), "gelu-exact" and "relu". Wg and Wu are one matrix, (C, 2F). One fused
    operation.

    gain, output_gain: of the initial weights, up and down; see `Linear`
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        activation: str = "silu",
        *,
        bias: bool = True,
        gain: float = 1.0,
        output_gain: float = 1.0,
    ):
        require_activation(activation)
        require_sizes("GatedFeedForward", hidden=hidden)
        self.up = Linear(channels, 2 * hidden, bias=bias, gain=gain)
        self.down = Linear(hidden, channels, bias=bias, gain=output_gain)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:  # (..., C) -> (..., C)
        return F.gated_ffn(x, self.up.weight, self.up.bias, self.down.weight, self.down.bias, self.activation)
