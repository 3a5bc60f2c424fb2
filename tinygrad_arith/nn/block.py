"""A transformer block: attention and feed-forward, each with a residual connection and a norm."""

from ..autograd import Tensor
from ..backend import RandomKey
from .attention import CausalSelfAttention, KeyValueCache
from .dropout import Dropout
from .feed_forward import FeedForward
from .layernorm import LayerNorm
from .module import Module


class Block(Module):
    """x -> x + f(norm(x)) ("pre", Xiong et al. 2020) or x -> norm(x + f(x)) ("post", Vaswani et al. 2017).

    f is first the attention, then the feed-forward network. `gain` is of the initial weights, `output_gain` of
    those that write into the residual stream; see `Linear`.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        hidden: int,
        *,
        kv_heads: int | None = None,
        activation: str = "gelu",
        norm: str = "pre",
        dropout: float = 0.0,
        gain: float = 1.0,
        output_gain: float = 1.0,
    ):
        self.attention_norm = LayerNorm(channels)
        self.attention = CausalSelfAttention(channels, heads, kv_heads, gain=gain, output_gain=output_gain)
        self.attention_dropout = Dropout(dropout)
        self.ffn_norm = LayerNorm(channels)
        self.ffn = FeedForward(channels, hidden, activation, gain=gain, output_gain=output_gain)
        self.ffn_dropout = Dropout(dropout)
        self.norm = norm

    def forward(
        self, x: Tensor, key_mask=None, dropout_key: RandomKey | None = None, cache: KeyValueCache | None = None
    ) -> Tensor:  # (B, T, C) -> (B, T, C)
        if self.norm == "pre":
            attended = self.attention(self.attention_norm(x), key_mask, cache)
            x = x + self.attention_dropout(attended, dropout_key)
            return x + self.ffn_dropout(self.ffn(self.ffn_norm(x)), dropout_key)
        attended = self.attention(x, key_mask, cache)
        x = self.attention_norm(x + self.attention_dropout(attended, dropout_key))
        return self.ffn_norm(x + self.ffn_dropout(self.ffn(x), dropout_key))
