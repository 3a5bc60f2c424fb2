"""A transformer block: attention and feed-forward, each with a residual connection and a norm."""

from collections.abc import Callable

from ..autograd import Tensor
from ..backend import RandomKey
from .attention import KeyValueCache, SelfAttention, unchanged_on_error
from .dropout import Dropout
from .feed_forward import FeedForward
from .module import Module
from .normalization import make_norm


class Block(Module):
    """x -> x + f(norm(x)) ("pre", Xiong et al. 2020) or x -> norm(x + f(x)) ("post", Vaswani et al. 2017).

    f is first the attention, then the feed-forward network. Raises ValueError for another `norm`.

    normalization:       of the two norms, see `make_norm`
    causal, rotary_base: see `SelfAttention`
    dropout:             of the outputs of both, before they are added; ffn_dropout: of the second one, if it differs
    probability_dropout: of the attention probabilities
    gain, output_gain:   of the initial weights, and of those that write into the residual stream; see `Linear`
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
        normalization: str | Callable[[int], Module] = "layernorm",
        causal: bool = True,
        rotary_base: float | None = None,
        dropout: float = 0.0,
        ffn_dropout: float | None = None,
        probability_dropout: float = 0.0,
        gain: float = 1.0,
        output_gain: float = 1.0,
    ):
        if norm not in ("pre", "post"):
            raise ValueError(f"no norm {norm!r}: it must be one of pre, post")
        self.attention_norm = make_norm(normalization, channels)
        self.attention = SelfAttention(
            channels,
            heads,
            kv_heads,
            causal=causal,
            rotary_base=rotary_base,
            dropout=probability_dropout,
            gain=gain,
            output_gain=output_gain,
        )
        self.attention_dropout = Dropout(dropout)
        self.ffn_norm = make_norm(normalization, channels)
        self.ffn = FeedForward(channels, hidden, activation, gain=gain, output_gain=output_gain)
        self.ffn_dropout = Dropout(dropout if ffn_dropout is None else ffn_dropout)
        self.norm = norm

    def forward(
        self,
        x: Tensor,
        key_mask=None,
        dropout_key: RandomKey | None = None,
        cache: KeyValueCache | None = None,
        positions=None,
    ) -> Tensor:  # (B, T, C) -> (B, T, C)
        """key_mask, cache, positions: see `SelfAttention`."""
        with unchanged_on_error([cache]):
            return self.both_branches(x, key_mask, dropout_key, cache, positions)

    def both_branches(self, x: Tensor, key_mask, dropout_key: RandomKey | None, cache, positions) -> Tensor:
        """What `forward` returns."""
        if self.norm == "pre":
            attended = self.attention(self.attention_norm(x), key_mask, cache, positions, dropout_key)
            x = x + self.attention_dropout(attended, dropout_key)
            return x + self.ffn_dropout(self.ffn(self.ffn_norm(x)), dropout_key)
        attended = self.attention(x, key_mask, cache, positions, dropout_key)
        x = self.attention_norm(x + self.attention_dropout(attended, dropout_key))
        return self.ffn_norm(x + self.ffn_dropout(self.ffn(x), dropout_key))
