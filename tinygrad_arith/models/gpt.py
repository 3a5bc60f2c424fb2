"""GPT: token and position embeddings, a stack of causal blocks, a head. Radford et al. 2018, 2019."""

import math
from dataclasses import dataclass

import numpy as np

from ..autograd import Tensor
from ..autograd import functions as F
from ..backend import DtypePolicy, RandomKey, array_module, on_device_of
from ..nn import Block, Dropout, Embedding, KeyValueCache, LayerNorm, Linear, Module, SinusoidalPositions
from ..ops import ArraySpec, ShapeError
from .shape_report import ShapeReport, report_shapes


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a GPT. `kv_heads` 0 means as many as `heads`, `ffn` 0 means 4 d_model.

    activation: "relu", "gelu" (tanh form) or "gelu-exact"
    norm:       "pre" (with a final norm) or "post"
    positions:  "learned" or "sinusoidal"
    tied_head:  the head's weight is the token table, transposed, without bias

    embedding_std: standard deviation of the initial tables
    weight_gain:   initial weights have standard deviation weight_gain / sqrt(in), less in the residual branches. Which
                   values learn addition and which do not: docs/log.md, 2026-11-22
    """

    vocabulary: int
    context: int
    d_model: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 0
    ffn: int = 0
    activation: str = "gelu"
    norm: str = "pre"
    positions: str = "learned"
    tied_head: bool = False
    dropout: float = 0.0
    embedding_std: float = 0.05
    weight_gain: float = 0.3


class GPT(Module):
    """ids (B, T) -> logits (B, T, V). Shapes are checked at construction, arrays are made by `initialize`."""

    def __init__(self, config: GPTConfig):
        self.config = config
        channels = config.d_model
        std, gain = config.embedding_std, config.weight_gain
        self.token_embedding = Embedding(config.vocabulary, channels, std=std)
        self.position_embedding: Module = (
            Embedding(config.context, channels, std=std)
            if config.positions == "learned"
            else SinusoidalPositions(channels)
        )
        self.embedding_dropout = Dropout(config.dropout)
        self.blocks = [
            Block(
                channels,
                config.heads,
                config.ffn or 4 * channels,
                kv_heads=config.kv_heads or None,
                activation=config.activation,
                norm=config.norm,
                dropout=config.dropout,
                gain=gain,
                # The residual stream is a sum of 2 * layers branches; the weights that write into it start smaller, so
                # that its variance does not grow with depth (Radford et al. 2019, section 2.3).
                output_gain=gain / math.sqrt(2.0 * config.layers),
            )
            for _ in range(config.layers)
        ]
        self.final_norm = LayerNorm(channels) if config.norm == "pre" else None
        self.head = None if config.tied_head else Linear(channels, config.vocabulary, gain=gain)
        self.shape_report(batch=1, positions=config.context)

    def forward(
        self,
        ids,
        positions=None,
        key_mask=None,
        dropout_key: RandomKey | None = None,
        caches: list[KeyValueCache] | None = None,
    ) -> Tensor:
        """Logits for the token after each position. NumPy arrays are copied to where the parameters are.

        ids:         (B, T) int
        positions:   (B, T) or (T,) int, which position each token stands at; default 0, 1, 2, ...
        key_mask:    (B, T) bool, False for padding
        dropout_key: names this step's dropout masks; without it there is no dropout
        caches:      from `new_caches`: ids continue what the caches hold (under no_grad)
        """
        here = self.token_embedding.weight.array
        ids, positions, key_mask = (on_device_of(here, array) for array in (ids, positions, key_mask))
        x = self.embed(ids, positions, start=caches[0].length if caches else 0)  # (B, T, C)
        x = self.embedding_dropout(x, dropout_key)
        for index, block in enumerate(self.blocks):
            x = block(x, key_mask, dropout_key, caches[index] if caches else None)  # (B, T, C)
        if self.final_norm is not None:
            x = self.final_norm(x)
        if self.head is None:
            return F.linear(x, self.token_embedding.weight.T)  # (B, T, V)
        return self.head(x)  # (B, T, V)

    def embed(self, ids, positions=None, start: int = 0) -> Tensor:
        """Token plus position embedding, (B, T, C)."""
        tokens = self.token_embedding(ids)  # (B, T, C)
        length = start + ids.shape[1]
        if positions is None:
            if length > self.config.context:
                raise ShapeError(f"gpt: {length} positions, but the context is {self.config.context}")
            xp = np if isinstance(ids, ArraySpec) else array_module(ids)
            positions = xp.arange(start, length)  # (T,)
        if isinstance(self.position_embedding, SinusoidalPositions):
            return tokens + self.position_embedding(positions, tokens.dtype)
        return tokens + self.position_embedding(positions)

    def new_caches(self, batch: int, longest: int | None = None) -> list[KeyValueCache]:
        """Empty key/value caches, one a layer, with room for `longest` positions (default: the context)."""
        attention = [block.attention for block in self.blocks]
        longest = longest or self.config.context
        dtype, xp = self.flat.working.dtype, array_module(self.flat.working)
        return [KeyValueCache.empty(batch, longest, a.kv_heads, a.head_size, dtype, xp) for a in attention]

    def shape_report(self, batch: int, positions: int, policy: DtypePolicy | None = None) -> ShapeReport:
        """A dry pass over shapes: every operation, its memory and FLOP. Raises ShapeError with a dotted name."""
        policy = policy or DtypePolicy.uniform("float32")
        ids = ArraySpec((batch, positions), np.dtype(np.int64))
        return report_shapes(self, policy, ids, dropout_key=RandomKey(0, "dropout"))
