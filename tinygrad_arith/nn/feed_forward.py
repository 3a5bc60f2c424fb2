"""The feed-forward network of a transformer block."""

from ..autograd import Tensor
from ..autograd import functions as F
from .linear import Linear
from .module import Module


class FeedForward(Module):
    """C -> F -> C with an activation between: "relu", "gelu" (tanh form) or "gelu-exact". One fused operation.

    std, output_std: of the initial weights, up and down; default as in `Linear`
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        activation: str = "gelu",
        *,
        std: float | None = None,
        output_std: float | None = None,
    ):
        self.up = Linear(channels, hidden, std=std)
        self.down = Linear(hidden, channels, std=output_std)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:  # (..., C) -> (..., C)
        return F.ffn(x, self.up.weight, self.up.bias, self.down.weight, self.down.bias, self.activation)
