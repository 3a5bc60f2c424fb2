"""A transformer block: attention and feed-forward, each with a residual connection and a norm."""

from collections.abc import Callable

from ..autograd import Tensor
from ..backend import RandomKey
from ..ops.shape_rules import inside_module
from .attention import KeyValueCache, SelfAttention, unchanged_on_error
from .dropout import Dropout
from .feed_forward import FeedForward, GatedFeedForward
from .module import Module
from .normalization import make_norm
from .positions import Rotary


class Block(Module):
    """x -> x + f(norm(x)) ("pre") or x -> norm(x + f(x)) ("post").

    Xiong et al. 2020, arXiv 2002.04745, and Vaswani et al. 2017, arXiv 1706.03762.

    f is first the attention, then the feed-forward network. Raises ValueError for another `norm`.

    normalization, eps:  of the two norms, see `make_norm`
    gated:               the feed-forward network has a gate: see `GatedFeedForward`
    activation:          of the feed-forward network; by default "gelu", with a gate "silu"
    kv_heads, head_size, causal, rotary: see `SelfAttention`
    bias:                whether the projections have biases; qkv_bias: the packed one of the attention, if it differs
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
        head_size: int | None = None,
        activation: str | None = None,
        gated: bool = False,
        bias: bool = True,
        qkv_bias: bool | None = None,
        norm: str = "pre",
        normalization: str | Callable[[int], Module] = "layernorm",
        eps: float = 1e-5,
        causal: bool = True,
        rotary: Rotary | None = None,
        dropout: float = 0.0,
        ffn_dropout: float | None = None,
        probability_dropout: float = 0.0,
        gain: float = 1.0,
        output_gain: float = 1.0,
    ):
        if norm not in ("pre", "post"):
            raise ValueError(f"no norm {norm!r}: it must be one of pre, post")
        self.attention_norm = make_norm(normalization, channels, eps)
        with inside_module("attention"):
            self.attention = SelfAttention(
                channels,
                heads,
                kv_heads,
                head_size=head_size,
                causal=causal,
                rotary=rotary,
                bias=bias if qkv_bias is None else qkv_bias,
                output_bias=bias,
                dropout=probability_dropout,
                gain=gain,
                output_gain=output_gain,
            )
        self.attention_dropout = Dropout(dropout)
        self.ffn_norm = make_norm(normalization, channels, eps)
        feed_forward, usual = (GatedFeedForward, "silu") if gated else (FeedForward, "gelu")
        with inside_module("ffn"):
            self.ffn = feed_forward(
                channels, hidden, activation or usual, bias=bias, gain=gain, output_gain=output_gain
            )
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
