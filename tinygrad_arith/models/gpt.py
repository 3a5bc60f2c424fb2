"""GPT: token and position embeddings, a stack of causal blocks, a head.

Radford et al. 2018, https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf, and
2019, https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..autograd import Tensor, plain_array
from ..autograd import functions as F
from ..backend import DtypePolicy, RandomKey, array_module, on_device_of
from ..nn import (
    Block,
    Dropout,
    Embedding,
    KeyValueCache,
    Linear,
    Module,
    Rotary,
    SinusoidalPositions,
    make_norm,
    make_position_table,
)
from ..nn.attention import unchanged_on_error
from ..ops import ArraySpec, ShapeError
from ..ops.numbers import require_not_negative, require_positive, require_sizes
from ..ops.shape_rules import inside_module
from ..options.option import Options, option
from .model import Model, require_config
from .registry import TaskSizes, options_of
from .shape_report import ShapeReport, report_shapes

ACTIVATIONS = ("relu", "gelu", "gelu-exact", "silu")


@dataclass(frozen=True)
class DecoderOptions(Options):
    """The options of models with blocks of attention. Vocabulary and context are not options: the task gives them."""

    kind: str = option(
        "gpt",
        "the model: {kinds}; window-...: one token from a whole window (https://zenn.dev/char/articles/afdf5b9a1d46eb)",
        flag="architecture",
    )
    d_model: int = option(64, "channels of the residual stream", range=(1, None))
    layers: int = option(2, "number of transformer blocks; of window-net: hidden layers", range=(1, 10_000))
    heads: int = option(4, "attention heads; must divide --d-model", range=(1, None))
    kv_heads: int = option(0, "heads for keys and values, a divisor of --heads; 0: as many as --heads", range=(0, None))
    ffn: int = option(0, "hidden channels of the feed-forward layer; 0: four times --d-model", range=(0, None))
    activation: str = option("relu", "of the feed-forward layer", choices=ACTIVATIONS)
    norm: str = option("pre", "norm before each sub-layer, or after its residual sum", choices=("pre", "post"))
    normalization: str = option("layernorm", "what a norm does", choices=("layernorm", "rmsnorm", "none"))
    positions: str = option(
        "learned",
        "what is made of a token's position id: a row of a table, sinusoids, a turn of queries and keys, nothing",
        choices=("learned", "sinusoidal", "rotary", "none"),
    )
    rotary_base: float = option(10_000.0, "of rotary positions: the longest wave in units of 2 pi", range=(1.0, None))
    dropout: float = option(0.0, "share of activations dropped while training", range=(0.0, 0.99))
    embedding_std: float = option(0.05, "standard deviation of the initial embeddings", range=(0.0, None))
    weight_gain: float = option(0.3, "initial weights have this standard deviation / sqrt(inputs)", range=(0.0, None))
    scale_residuals: bool = option(
        True, "divide by sqrt(2 layers) the initial weights that write into the residual stream"
    )

    def check(self) -> None:
        """What attention and positions need of the sizes."""
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"--d-model {self.d_model}: must be even for --positions sinusoidal")
        if self.d_model % self.heads:
            raise ValueError(f"--heads {self.heads}: must divide --d-model {self.d_model}")
        if self.kv_heads and self.heads % self.kv_heads:
            raise ValueError(f"--kv-heads {self.kv_heads}: must divide --heads {self.heads}")
        if self.positions == "rotary" and (head_size := self.d_model // self.heads) % 2:
            raise ValueError(
                f"--positions rotary: turns pairs of channels, but --d-model {self.d_model} with --heads {self.heads} "
                f"leaves {head_size} a head, which is odd"
            )


@dataclass(frozen=True)
class GPTOptions(DecoderOptions):
    """The options of a GPT."""

    tied_head: bool = option(False, "use the token embedding as the output layer too")


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a GPT. `kv_heads` 0 means as many as `heads`, `ffn` 0 means 4 d_model.

    context:    positions that a row may have
    activation: "relu", "gelu" (tanh form), "gelu-exact" or "silu"
    norm:       "pre" (with a final norm) or "post"
    positions:  what is made of position ids: "learned" (a table), "sinusoidal", "rotary" (arXiv 2104.09864) or "none"
    tied_head:  the head's weight is the token table, transposed, without bias

    embedding_std: standard deviation of the initial tables
    weight_gain:   initial weights have standard deviation weight_gain / sqrt(in), less in the residual branches. Which
                   values learn addition and which do not: docs/log.md, 2026-11-22

    normalization:   what a norm does: see `nn.make_norm`
    scale_residuals: the weights that write into the residual stream start divided by sqrt(2 layers). It is a sum of
                     2 layers branches, whose variance then does not grow with depth (Radford et al. 2019, section 2.3)
    position_count:  position ids are below it: rows of a learned table; 0 means `context`
    rotary_base:     of rotary positions
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
    normalization: str = "layernorm"
    scale_residuals: bool = True
    position_count: int = 0
    rotary_base: float = 10_000.0

    def check(self) -> None:
        """Raises ShapeError for a size or another number that cannot be; called by the model's constructor."""
        require_sizes(type(self).__name__, vocabulary=self.vocabulary, context=self.context, d_model=self.d_model)
        require_sizes(type(self).__name__, heads=self.heads)
        or_none = {"layers": self.layers, "kv_heads": self.kv_heads, "ffn": self.ffn}
        require_sizes(type(self).__name__, least=0, **or_none, position_count=self.position_count)
        require_positive(type(self).__name__, rotary_base=self.rotary_base)
        gains = {"embedding_std": self.embedding_std, "weight_gain": self.weight_gain}
        require_not_negative(type(self).__name__, **gains)

    @property
    def output_gain(self) -> float:
        """The gain of initial weights that write into the residual stream."""
        return self.weight_gain / math.sqrt(2.0 * self.layers) if self.scale_residuals else self.weight_gain

    def block(self, **options) -> Block:
        """One of the model's blocks; the options are those of `Block` that not all models share."""
        with inside_module("blocks.0"):  # all are alike, so what is wrong is wrong in the first
            return Block(
                self.d_model,
                self.heads,
                self.ffn or 4 * self.d_model,
                kv_heads=self.kv_heads or None,
                activation=self.activation,
                norm=self.norm,
                rotary=Rotary(self.rotary_base) if self.positions == "rotary" else None,
                gain=self.weight_gain,
                output_gain=self.output_gain,
                **{"normalization": self.normalization, **options},
            )

    def position_table(self) -> Module | None:
        """What makes vectors of position ids, if anything is added to the embedding."""
        count = self.position_count or self.context
        return make_position_table(self.positions, count, self.d_model, self.embedding_std)


class GPT(Model):
    """ids (B, T) -> logits (B, T, V). Shapes are checked at construction, arrays are made by `initialize`."""

    options = GPTOptions
    rows = "whole"  # what a training row must be

    def __init__(self, config: GPTConfig):
        require_config(self, config, GPTConfig)
        config.check()
        self.config = config
        self.token_embedding = Embedding(config.vocabulary, config.d_model, std=config.embedding_std)
        self.position_embedding = config.position_table()
        self.embedding_dropout = Dropout(config.dropout)
        self.blocks = [config.block(dropout=config.dropout) for _ in range(config.layers)]
        self.final_norm = make_norm(config.normalization, config.d_model) if config.norm == "pre" else None
        self.head = None if config.tied_head else Linear(config.d_model, config.vocabulary, gain=config.weight_gain)
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
        key_mask:    (B, T) bool, False for padding; with caches (B, positions so far), those of the caches first
        dropout_key: names this step's dropout masks; without it there is no dropout
        caches:      from `new_caches`: ids continue what the caches hold (under no_grad); an error leaves them as they
                     were
        """
        if caches is not None and len(caches) != len(self.blocks):
            raise ValueError(f"gpt: {len(caches)} caches for {len(self.blocks)} blocks; new_caches makes one for each")
        with unchanged_on_error(caches or ()):
            return self.logits(ids, positions, key_mask, dropout_key, caches)

    def logits(self, ids, positions, key_mask, dropout_key: RandomKey | None, caches) -> Tensor:
        """What `forward` returns."""
        start = caches[0].length if caches else 0
        ids, positions, key_mask = self.inputs(ids, positions, key_mask, start)
        x = self.embedding_dropout(self.embed(ids, positions), dropout_key)  # (B, T, C)
        for index, block in enumerate(self.blocks):
            x = block(x, key_mask, dropout_key, caches[index] if caches else None, positions)  # (B, T, C)
        if self.final_norm is not None:
            x = self.final_norm(x)
        if self.head is None:
            return F.linear(x, self.token_embedding.weight.T)  # (B, T, V)
        return self.head(x)  # (B, T, V)

    def inputs(self, ids, positions=None, key_mask=None, start: int = 0):
        """What `forward` is given, where the parameters are, and with positions where none were given."""
        ids, positions, key_mask = (plain_array(given) for given in (ids, positions, key_mask))
        if ids is None:
            raise TypeError("gpt: ids are None, where whole numbers (B, T) are needed")
        if ids.ndim != 2:
            raise ShapeError(f"gpt: ids must be (B, T), a row for each of a batch; got {tuple(ids.shape)}")
        if positions is None:
            length = start + ids.shape[1]
            if length > self.config.context:
                raise ShapeError(f"gpt: {length} positions, but the context is {self.config.context}")
            xp = array_module(self.token_embedding.weight.array)
            positions = xp.arange(start, length)  # (T,)
        here = self.token_embedding.weight.array
        return tuple(on_device_of(here, array) for array in (ids, positions, key_mask))

    def embed(self, ids, positions) -> Tensor:  # ids (B, T); positions (B, T) or (T,)
        """Token plus position embedding, (B, T, C)."""
        return with_positions(self.token_embedding(ids), self.position_embedding, positions)

    @classmethod
    def from_options(cls, options: GPTOptions, sizes: TaskSizes) -> "GPT":
        """The model of these options for a task; raises ValueError where shapes do not fit."""
        values = options_of(options) | {"vocabulary": sizes.vocabulary, "context": sizes.longest_context}
        return cls(GPTConfig(**values, position_count=sizes.position_count))

    def new_caches(self, batch: int, longest: int | None = None) -> list[KeyValueCache]:
        """Empty key/value caches, one a layer, with room for `longest` positions (default: the context)."""
        attention = [block.attention for block in self.blocks]
        longest = self.config.context if longest is None else longest
        dtype, xp = self.flat.working.dtype, array_module(self.flat.working)
        return [KeyValueCache.empty(batch, longest, a.kv_heads, a.head_size, dtype, xp) for a in attention]

    def shape_report(self, batch: int, positions: int, policy: DtypePolicy | None = None) -> ShapeReport:
        """A dry pass over shapes: every operation, its memory and FLOP. Raises ShapeError with a dotted name."""
        policy = policy or DtypePolicy.uniform("float32")
        ids = ArraySpec((batch, positions), np.dtype(np.int64))
        shared = 0 < self.config.position_count < positions  # ids that several positions share: the task gives them
        given = np.zeros(positions, dtype=np.int64) if shared else None  # (T,)
        return report_shapes(self, policy, ids, given, dropout_key=RandomKey(0, "dropout"))


def with_positions(tokens: Tensor, table: Module | None, positions) -> Tensor:  # tokens (B, T, C)
    """The token embeddings plus the vectors of their positions, (B, T, C)."""
    if table is None:
        return tokens
    if isinstance(table, SinusoidalPositions):
        return tokens + table(positions, tokens.dtype)
    return tokens + table(positions)
