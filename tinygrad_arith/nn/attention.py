"""Self-attention with its projections, and the cache of keys and values for generation."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..autograd import BackwardError, Tensor, is_recording
from ..autograd import functions as F
from ..backend import RandomKey, repeat_rows, to_numpy
from ..ops import ShapeError, attention_forward
from ..ops.numbers import require_sizes
from ..ops.packed_attention import unpack
from .attention_dropout import attention_with_dropout
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .positions import Rotary


@dataclass
class KeyValueCache:
    """Keys and values of one layer's past positions: (B, longest, NHkv, HS), the first `length` of them filled."""

    keys: Any
    values: Any
    length: int = 0

    @classmethod
    def empty(
        cls, batch: int, longest: int, kv_heads: int, head_size: int, dtype: Any, xp: ModuleType = np
    ) -> "KeyValueCache":
        """Room for `longest` positions of a batch, in arrays of this library."""
        shape = (batch, longest, kv_heads, head_size)
        return cls(xp.zeros(shape, dtype), xp.zeros(shape, dtype))

    def append(self, k: Any, v: Any) -> tuple[Any, Any]:  # k, v (B, T, NHkv, HS)
        """Adds positions; returns all keys and values so far, as views.

        Raises ValueError, with nothing changed, where there is no room for them or the batch is another.
        """
        (batch, longest), (rows, new) = self.keys.shape[:2], k.shape[:2]
        if rows != batch:
            raise ValueError(f"a key/value cache for a batch of {batch} was given a batch of {rows}")
        end = self.length + new
        if end > longest:
            raise ValueError(
                f"a key/value cache with room for {longest} positions holds {self.length} and was given {new} more: "
                "make it with more room (`longest` of new_caches)"
            )
        self.keys[:, self.length : end], self.values[:, self.length : end] = k, v
        self.length = end
        return self.keys[:, :end], self.values[:, :end]

    def repeated(self, times: int) -> "KeyValueCache":
        """A cache of its own in which each row stands so many times: for several continuations of what was read."""
        return KeyValueCache(repeat_rows(self.keys, times), repeat_rows(self.values, times), self.length)


@contextmanager
def unchanged_on_error(caches: Iterable[KeyValueCache | None]) -> Iterator[None]:
    """An error inside leaves the caches as long as they were; what stands behind their length does not count."""
    lengths = [(cache, cache.length) for cache in caches if cache is not None]
    try:
        yield
    except BaseException:
        for cache, length in lengths:
            cache.length = length
        raise


class SelfAttention(Module):
    """Each position attends to itself and, if `causal`, to the positions before it; else to all positions.

    One packed projection makes queries, keys and values; `kv_heads` below `heads` shares key/value heads in groups.

    head_size:   default channels / heads, which must then divide
    rotary:      how queries and keys are turned by their position ids; None: not, and position ids are not looked at
    bias, output_bias: whether the packed and the output projection have biases; the second by default as the first
    dropout:     share of the attention probabilities dropped in training. They must then be written out, which costs
                 time and memory
    gain, output_gain: of the initial weights of the packed and of the output projection; see `Linear`
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        kv_heads: int | None = None,
        *,
        head_size: int | None = None,
        causal: bool = True,
        rotary: Rotary | None = None,
        bias: bool = True,
        output_bias: bool | None = None,
        dropout: float = 0.0,
        gain: float = 1.0,
        output_gain: float = 1.0,
    ):
        kv_heads = kv_heads or heads
        require_sizes("SelfAttention", channels=channels, heads=heads, kv_heads=kv_heads)
        if head_size is not None:
            require_sizes("SelfAttention", head_size=head_size)
        if not (rotary is None or isinstance(rotary, Rotary)):
            raise TypeError(f"SelfAttention: rotary must be a Rotary(), not {rotary!r}")
        self.channels, self.heads, self.kv_heads = channels, heads, kv_heads
        self.head_size = head_size or channels // heads
        self.causal, self.rotary = causal, rotary
        self.require_fitting_heads(head_size is not None)
        self.qkv = Linear(channels, (heads + 2 * kv_heads) * self.head_size, bias=bias, gain=gain)
        self.dropout = Dropout(dropout) if dropout else None
        with_bias = bias if output_bias is None else output_bias
        self.output = Linear(heads * self.head_size, channels, bias=with_bias, gain=output_gain)

    def require_fitting_heads(self, size_given: bool) -> None:
        """Raises ShapeError for heads that cannot share the channels, or key/value heads that the heads cannot."""
        heads, channels = self.heads, self.channels
        if not size_given and channels % heads:
            raise ShapeError(
                f"{heads} heads cannot share {channels} channels: give head_size, or heads that divide {channels}"
            )
        if heads % self.kv_heads:
            raise ShapeError(f"{self.kv_heads} key/value heads do not divide {heads} heads")
        if self.rotary is not None and self.rotary.width is None and self.head_size % 2:
            raise ShapeError(f"rotary positions turn pairs of channels; {self.head_size} a head is odd")

    def forward(
        self,
        x: Tensor,
        key_mask=None,
        cache: KeyValueCache | None = None,
        positions=None,
        dropout_key: RandomKey | None = None,
    ) -> Tensor:  # (B, T, C) -> (B, T, C)
        """With a cache (generation, no gradients) x continues what it holds. Raises BackwardError outside `no_grad`.

        key_mask:  (B, Tk) bool, False hides a key; Tk = T, or with a cache all positions so far
        positions: (B, T) or (T,) int, for rotary positions
        """
        if cache is not None and is_recording():
            raise BackwardError("attention: a key/value cache passes no gradients on: call the model under no_grad()")
        qkv = self.turned(self.qkv(x), positions)  # (B, T, (NH + 2 NHkv) HS)
        if cache is not None:
            q, k, v = unpack(qkv.array, self.heads, self.kv_heads)  # (B, T, NH or NHkv, HS)
            with unchanged_on_error([cache]):
                keys, values = cache.append(k, v)  # (B, length, NHkv, HS), turned already
                out = F.attention(Tensor(q), keys, values, causal=self.causal, key_mask=key_mask)  # (B, T, NH, HS)
                out = out.reshape(*x.shape[:-1], self.heads * self.head_size)  # (B, T, NH HS)
                return self.output(out)
        if self.dropout is not None and dropout_key is not None:
            out = self.attend_with_dropout(qkv, key_mask, dropout_key)  # (B, T, C)
        else:
            heads = {"heads": self.heads, "kv_heads": self.kv_heads}
            out = F.packed_attention(qkv, **heads, causal=self.causal, key_mask=key_mask)  # (B, T, C)
        return self.output(out)

    def turned(self, qkv: Tensor, positions) -> Tensor:  # (B, T, (NH + 2 NHkv) HS) -> the same shape
        """The packed projection with rotary positions, if there are any."""
        if self.rotary is None:
            return qkv
        if positions is None:
            raise ValueError("attention: rotary positions need position ids: positions=np.arange(T)")
        return F.packed_rotary(qkv, positions, self.heads, kv_heads=self.kv_heads, **vars(self.rotary))

    def attend_with_dropout(self, qkv: Tensor, key_mask, key: RandomKey) -> Tensor:  # -> (B, T, C)
        """Attention with dropout of its probabilities."""
        dropout = self.dropout
        assert dropout is not None

        def drop(probabilities: Tensor) -> Tensor:
            return dropout(probabilities, key)

        return attention_with_dropout(qkv, self.heads, self.kv_heads, drop, causal=self.causal, key_mask=key_mask)

    def probabilities(self, qkv: Any, positions=None, key_mask=None) -> np.ndarray:  # -> (B, NH, T, T)
        """What each query (row) takes from each key (column), from the output of `qkv`; float32 at least.

        By the reference's attention: the faster ones never hold these numbers.
        """
        wide = qkv.astype(np.result_type(np.float32, qkv.dtype), copy=False)  # (B, T, (NH + 2 NHkv) HS)
        q, k, v = unpack(self.turned(Tensor(wide), positions).array, self.heads, self.kv_heads)
        _, cache = attention_forward(q, k, v, causal=self.causal, key_mask=key_mask)
        length = q.shape[1]
        return to_numpy(cache.probabilities.reshape(len(q), self.heads, length, length))
