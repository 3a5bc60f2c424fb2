"""Models that see a whole window of tokens and predict the one token that comes next.

    ids (B, W), padded -> logits (B, 1, V)

From "JuliaでGPTモデルを作成してみる" (https://zenn.dev/char/articles/afdf5b9a1d46eb, 2023) and its code
(https://github.com/char5742/simple-gpt-julia, commit 3f38d3d): a window of 19 tokens whose last layer reads all
positions side by side, so the place of a token in the window is all that tells its role. What differs from that code:
sinusoids have the usual wavelengths (there each channel has one of its own), weights start normal.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..autograd import Tensor, plain_array
from ..autograd import functions as F
from ..backend import DtypePolicy, RandomKey, array_module, on_device_of, repeat_rows
from ..models.gpt import DecoderOptions, GPTConfig, with_positions
from ..models.model import Model, require_config
from ..models.registry import TaskSizes, options_of
from ..models.shape_report import ShapeReport, report_shapes
from ..nn import Block, Dropout, Embedding, Linear, Module
from ..ops import ArraySpec, ShapeError
from ..ops.attention import check_mask_dtype
from ..options.option import Options, option
from .batch_tensor_norm import BatchTensorNorm

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "gelu-exact": F.gelu_exact}


@dataclass(frozen=True)
class WindowConfig(GPTConfig):
    """As `GPTConfig`; `context` is the width of the window. There is no final norm and no tied head.

    padding:   the token id that stands where the window is empty
    attend_to: "tokens", or "padding": attention sees the empty places only, and nothing where there are none. The mask
               of the article's code is that way round: it marks padding, and the attention takes a mark for "look here"
    """

    padding: int = 0
    attend_to: str = "tokens"

    def __post_init__(self) -> None:
        """Raises ValueError for an `attend_to` that is none of the two."""
        if self.attend_to not in ("tokens", "padding"):
            raise ValueError(f"no attend_to {self.attend_to!r}: it must be one of tokens, padding")

    def block(self, **options) -> Block:
        """As in `GPTConfig`, with one more norm."""
        norm = BatchTensorNorm if self.normalization == "batch-tensor" else self.normalization
        return super().block(normalization=norm, **options)


@dataclass(frozen=True)
class WindowGPTOptions(DecoderOptions):
    """The options of the article's GPT."""

    kind: str = option(
        "window-gpt",
        "the model: {kinds}; window-...: one token from a whole window (https://zenn.dev/char/articles/afdf5b9a1d46eb)",
        flag="architecture",
    )
    normalization: str = option(
        "layernorm",
        "what a norm does; batch-tensor: layer norm over a whole batch, as the article's code has it",
        choices=("layernorm", "rmsnorm", "none", "batch-tensor"),
    )
    attend_to: str = option(
        "tokens",
        "what attention sees: the tokens, or only the padding (as the article's code)",
        choices=("tokens", "padding"),
    )

    @property
    def sees_whole_batch(self) -> bool:
        """Whether a batch can not be shared by several workers."""
        return self.normalization == "batch-tensor"


@dataclass(frozen=True)
class WindowNetOptions(Options):
    """The options of the article's dense model."""

    kind: str = option(
        "window-net",
        "the model: {kinds}; window-...: one token from a whole window (https://zenn.dev/char/articles/afdf5b9a1d46eb)",
        flag="architecture",
    )
    d_model: int = option(64, "channels of an embedded token", range=(1, None))
    layers: int = option(2, "number of hidden layers", range=(1, 10_000))
    activation: str = option("relu", "of the hidden layers", choices=tuple(ACTIVATIONS))
    positions: str = option(
        "learned",
        "what is made of a token's position id: a row of a table, sinusoids, nothing",
        choices=("learned", "sinusoidal", "none"),
    )
    dropout: float = option(0.0, "share of activations dropped while training", range=(0.0, 0.99))
    embedding_std: float = option(0.05, "standard deviation of the initial embeddings", range=(0.0, None))
    weight_gain: float = option(0.3, "initial weights have this standard deviation / sqrt(inputs)", range=(0.0, None))

    def check(self) -> None:
        """Sinusoids come in pairs of channels."""
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"--d-model {self.d_model}: must be even for --positions sinusoidal")


class WindowModel(Model):
    """What the window models share: the embedding, the head over all positions, and how they are called."""

    config: WindowConfig
    token_embedding: Embedding
    position_embedding: Module | None
    rows = "prefix"  # what a training row must be
    dtypes = ("float32", "float64")

    @classmethod
    def from_options(cls, options: Options, sizes: TaskSizes) -> Self:
        """The model of these options for a task; raises ValueError where shapes do not fit."""
        values = options_of(options) | {"vocabulary": sizes.vocabulary, "context": sizes.context}
        values |= {"position_count": sizes.position_count, "padding": sizes.padding}
        return cls(WindowConfig(**values))

    def __init__(self, config: WindowConfig):
        require_config(self, config, WindowConfig)
        config.check()
        raise NotImplementedError

    def forward(self, ids, positions=None, key_mask=None, dropout_key: RandomKey | None = None) -> Tensor:
        """Logits for the token that follows what is in the window, (B, 1, V).

        ids:         (B, W) int
        positions:   (B, W) or (W,) int, default 0, 1, 2, ...
        key_mask:    (B, W) bool, False for tokens to hide beside the padding, which is always hidden
        dropout_key: names this step's dropout masks; without it there is no dropout
        """
        ids, positions, key_mask = self.inputs(ids, positions, key_mask)
        x = with_positions(self.token_embedding(ids), self.position_embedding, positions)  # (B, W, C)
        logits = self.read(x, positions, key_mask, dropout_key)  # (B, V)
        return logits.reshape(logits.shape[0], 1, logits.shape[1])

    def read(self, x: Tensor, positions, key_mask, dropout_key) -> Tensor:  # (B, W, C) -> (B, V)
        """From the embedded window to the logits; defined by each model."""
        raise NotImplementedError

    def reader(self, batch: int, positions: Any = None, key_mask: Any = None) -> "WindowReader":
        """For generation: reads token after token into a window."""
        return WindowReader(self, batch, positions, key_mask)

    def inputs(self, ids, positions=None, key_mask=None):
        """What `forward` is given, where the parameters are, with positions and the mask that attention uses."""
        config, here = self.config, self.token_embedding.weight.array
        ids, positions, key_mask = (plain_array(given) for given in (ids, positions, key_mask))
        if ids is None:
            raise TypeError("window: ids are None, where whole numbers (B, W) are needed")
        if ids.ndim != 2:
            raise ShapeError(f"window: ids must be (B, W), a row for each of a batch; got {tuple(ids.shape)}")
        if ids.shape[1] != config.context:
            raise ShapeError(f"window: rows of {ids.shape[1]} tokens, but the window has {config.context}")
        if positions is None:
            positions = array_module(here).arange(config.context)  # (W,)
        ids, positions, key_mask = (on_device_of(here, array) for array in (ids, positions, key_mask))
        return ids, positions, self.visible(ids, key_mask)

    def visible(self, ids, key_mask):  # (B, W) int, (B, W) bool or None -> (B, W) bool
        """Which tokens attention sees."""
        if isinstance(ids, ArraySpec):
            return ArraySpec(ids.shape, np.dtype(bool))
        if self.config.attend_to == "padding":
            return ids == self.config.padding
        visible = ids != self.config.padding
        if key_mask is None:
            return visible
        check_mask_dtype("window", key_mask)
        return visible & (key_mask != 0)

    def shape_report(self, batch: int, positions: int | None = None, policy: DtypePolicy | None = None) -> ShapeReport:
        """A dry pass over shapes, as that of `GPT`; `positions` is the window's width."""
        policy = policy or DtypePolicy.uniform("float32")
        ids = ArraySpec((batch, positions or self.config.context), np.dtype(np.int64))
        return report_shapes(self, policy, ids, dropout_key=RandomKey(0, "dropout"))


class WindowGPT(WindowModel):
    """Blocks whose attention is not causal, then one linear layer over all positions side by side.

    The article's has 101,201 parameters: vocabulary 17, window 19, d_model 48, 3 layers, 3 heads, GELU, sinusoids.
    """

    options = WindowGPTOptions

    def __init__(self, config: WindowConfig):
        require_config(self, config, WindowConfig)
        config.check()
        self.config = config
        self.token_embedding = Embedding(config.vocabulary, config.d_model, std=config.embedding_std, bias=True)
        self.position_embedding = config.position_table()
        rate = config.dropout
        # The code drops from the feed-forward network's output twice, once at its end and once before the sum. The
        # product of two such masks is one with the rate below.
        ffn_rate = 1.0 - (1.0 - rate) ** 2
        self.blocks = [
            config.block(causal=False, probability_dropout=rate, ffn_dropout=ffn_rate) for _ in range(config.layers)
        ]
        self.head = Linear(config.context * config.d_model, config.vocabulary, gain=config.weight_gain)
        self.shape_report(batch=1)

    def read(self, x: Tensor, positions, key_mask, dropout_key) -> Tensor:  # (B, W, C) -> (B, V)
        for block in self.blocks:
            x = block(x, key_mask, dropout_key, None, positions)  # (B, W, C)
        return self.head(x.reshape(x.shape[0], -1))  # (B, V)


class WindowNet(WindowModel):
    """The dense rival: hidden layers as wide as all embedded positions side by side, each with dropout.

    The article's has 2,514,353 parameters: vocabulary 17, window 19, d_model 48, 3 layers, ReLU, sinusoids. It has
    no heads, no norm and no residual stream; what the configuration says of these is not looked at.
    """

    options = WindowNetOptions

    def __init__(self, config: WindowConfig):
        require_config(self, config, WindowConfig)
        config.check()
        self.config = config
        self.token_embedding = Embedding(config.vocabulary, config.d_model, std=config.embedding_std, bias=True)
        self.position_embedding = config.position_table()
        if config.activation not in ACTIVATIONS:
            raise ValueError(f"no activation {config.activation!r}: it must be one of {', '.join(ACTIVATIONS)}")
        width, gain = config.context * config.d_model, config.weight_gain
        self.hidden = [Linear(width, width, gain=gain) for _ in range(config.layers)]
        self.dropouts = [Dropout(config.dropout) for _ in range(config.layers)]
        self.head = Linear(width, config.vocabulary, gain=gain)
        self.shape_report(batch=1)

    def read(self, x: Tensor, positions, key_mask, dropout_key) -> Tensor:  # (B, W, C) -> (B, V)
        activation = ACTIVATIONS[self.config.activation]
        x = x.reshape(x.shape[0], -1)  # (B, W C)
        for linear, dropout in zip(self.hidden, self.dropouts, strict=True):
            x = dropout(activation(linear(x)), dropout_key)  # (B, W C)
        return self.head(x)  # (B, V)


class WindowReader:
    """Writes what is new into a window model's window. positions, key_mask: (B, fed) or None."""

    def __init__(self, model: WindowModel, batch: int, positions: Any, key_mask: Any):
        shape = batch, model.config.context
        self.model, self.filled = model, 0
        self.window = np.full(shape, model.config.padding, dtype=np.int64)  # (B, W)
        # Behind what will be written the window is padding: position 0, hidden.
        self.positions = None if positions is None else padded(positions, shape)  # (B, W)
        self.key_mask = None if key_mask is None else padded(key_mask, shape)  # (B, W)

    def __call__(self, ids: np.ndarray) -> Any:  # (B, T) -> (B, V)
        """The logits behind all tokens so far."""
        end = self.filled + ids.shape[1]
        self.window[:, self.filled : end] = ids
        self.filled = end
        return self.model(self.window, positions=self.positions, key_mask=self.key_mask).array[:, 0]

    def repeat(self, times: int) -> None:
        """From now on every row stands so many times."""
        arrays = self.window, self.positions, self.key_mask
        self.window, self.positions, self.key_mask = (repeat_rows(array, times) for array in arrays)


def padded(array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The array at the left of one of zeros of this shape."""
    wide = np.zeros(shape, array.dtype)  # (B, W)
    wide[:, : array.shape[1]] = array
    return wide
