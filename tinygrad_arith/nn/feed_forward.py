"""The feed-forward network of a transformer block."""

from ..autograd import Tensor
from ..autograd import functions as F
from .linear import Linear
from .module import Module


class FeedForward(Module):
    """C -> F -> C with an activation between: "relu", "gelu" (tanh form) or "gelu-exact". One fused operation."""

    def __init__(self, channels: int, hidden: int, activation: str = "gelu", *, gain: float = 1.0):
        self.up = Linear(channels, hidden)
        self.down = Linear(hidden, channels, gain=gain)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:  # (..., C) -> (..., C)
        return F.ffn(x, self.up.weight, self.up.bias, self.down.weight, self.down.bias, self.activation)
