"""Causal self-attention with its projections, and the cache of keys and values for generation."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd import functions as F
from ..ops import ShapeError
from ..ops.packed_attention import unpack
from .linear import Linear
from .module import Module


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
        """Adds positions; returns all keys and values so far, as views."""
        end = self.length + k.shape[1]
        self.keys[:, self.length : end], self.values[:, self.length : end] = k, v
        self.length = end
        return self.keys[:, :end], self.values[:, :end]


class CausalSelfAttention(Module):
    """Each position attends to itself and the positions before it.

    One packed projection makes queries, keys and values; `kv_heads` below `heads` shares key/value heads in groups.
    gain, output_gain: of the initial weights of the packed and of the output projection; see `Linear`
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        kv_heads: int | None = None,
        *,
        gain: float = 1.0,
        output_gain: float = 1.0,
    ):
        kv_heads = kv_heads or heads
        self.channels, self.heads, self.kv_heads = channels, heads, kv_heads
        self.head_size = channels // max(heads, 1)
        self.qkv = Linear(channels, (heads + 2 * kv_heads) * self.head_size, gain=gain)
        self.output = Linear(channels, channels, gain=output_gain)

    def check_sizes(self) -> None:
        if self.heads <= 0 or self.channels % self.heads:
            raise ShapeError(f"attention: {self.heads} heads do not divide {self.channels} channels")
        if self.heads % self.kv_heads:
            raise ShapeError(f"attention: {self.kv_heads} key/value heads do not divide {self.heads} heads")

    def forward(self, x: Tensor, key_mask=None, cache: KeyValueCache | None = None) -> Tensor:  # (B, T, C) -> (B, T, C)
        """key_mask (B, T) bool hides padding. With a cache (generation, no gradients) x continues what it holds."""
        qkv = self.qkv(x)  # (B, T, (NH + 2 NHkv) HS)
        if cache is None:
            out = F.packed_attention(qkv, self.heads, kv_heads=self.kv_heads, key_mask=key_mask)  # (B, T, C)
        else:
            q, k, v = unpack(qkv.array, self.heads, self.kv_heads)  # (B, T, NH or NHkv, HS)
            keys, values = cache.append(k, v)  # (B, length, NHkv, HS)
            out = F.attention(Tensor(q), keys, values).reshape(*x.shape)  # (B, T, C)
        return self.output(out)
