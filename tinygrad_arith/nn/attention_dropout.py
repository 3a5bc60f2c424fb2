"""Attention with dropout of its probabilities, written with finer operations.

The attention of `ops` does not give out its probabilities, so nothing can be dropped from them. Here each step is
an operation of its own: more memory and more passes, for the models that are published with this dropout.
"""

import math
from collections.abc import Callable
from typing import Any

from ..autograd import Tensor
from ..backend import array_module
from ..ops import ArraySpec
from ..ops.attention import check_mask_dtype, visible_keys

HIDDEN = -1e30  # added to the score of a hidden key: exp of it is 0; finite, so that no row becomes NaN


def attention_with_dropout(
    qkv: Tensor,
    heads: int,
    kv_heads: int,
    drop: Callable[[Tensor], Tensor],
    *,
    causal: bool = True,
    key_mask: Any = None,
) -> Tensor:  # qkv (B, T, (NH + 2 NHkv) HS) -> (B, T, NH HS)
    """out = drop(softmax(q kᵀ / sqrt(HS))) v, Vaswani et al. 2017, arXiv 1706.03762; else as `ops.packed_attention`.

    drop: applied to the probabilities, (B, NHkv, G, T, T) with G query heads to a key/value head
    """
    batch, length, channels = qkv.shape
    size, group = channels // (heads + 2 * kv_heads), heads // kv_heads
    parts = qkv.reshape(batch, length, heads + 2 * kv_heads, size).transpose(0, 2, 1, 3)  # (B, NH + 2 NHkv, T, HS)
    # The G query heads that share a key/value head are more rows of one matrix: GEMM stays a plain batch.
    rows, keys = (batch * kv_heads, group * length, size), (batch * kv_heads, length, size)
    q = parts[:, :heads].reshape(*rows)  # (B NHkv, G T, HS)
    k = parts[:, heads : heads + kv_heads].reshape(*keys)  # (B NHkv, T, HS)
    v = parts[:, heads + kv_heads :].reshape(*keys)  # (B NHkv, T, HS)
    scores = ((q * (1.0 / math.sqrt(size))) @ k.transpose(0, 2, 1)).reshape(batch, kv_heads, group, length, length)
    bias, sees = bias_of(scores, qkv, causal, key_mask)
    probabilities = drop(softmax(scores if bias is None else scores + bias))  # (B, NHkv, G, T, T)
    out = (probabilities.reshape(*rows[:2], length) @ v).reshape(batch, kv_heads, group, length, size)
    if sees is not None:
        out = out * sees  # a query that sees no key gets zeros
    return out.reshape(batch, heads, length, size).transpose(0, 2, 1, 3).reshape(batch, length, heads * size)


def softmax(scores: Tensor) -> Tensor:  # (..., T)
    """Over the last axis. The largest score is subtracted as a constant: it changes the numbers, not the function."""
    weights = (scores - scores.detach().max(axis=-1, keepdims=True)).exp()  # (..., T)
    return weights / weights.sum(axis=-1, keepdims=True)


def bias_of(scores: Tensor, qkv: Tensor, causal: bool, key_mask: Any) -> tuple[Any, Any]:
    """What is added to the scores, 0 or HIDDEN, and whether a query sees any key, 1 or 0; None where nothing is hidden.

    Both in the dtype of the scores, with five axes that broadcast to (B, NHkv, G, T, T) and (B, NHkv, G, T, 1).
    """
    if not causal and key_mask is None:
        return None, None
    if isinstance(scores.array, ArraySpec):  # a dry pass over shapes
        batch, _, _, length, _ = scores.shape
        full = (batch, 1, 1, length, length)
        return ArraySpec(full, scores.dtype), ArraySpec((*full[:-1], 1), scores.dtype)
    if key_mask is not None:
        check_mask_dtype("attention", key_mask)
    xp = array_module(scores.array)
    visible = visible_keys(qkv.array, qkv.array, causal=causal, key_mask=key_mask, lengths=None)  # (B or 1, ..., T)
    visible = visible.reshape((1,) * (5 - visible.ndim) + visible.shape)
    bias = xp.where(visible, 0.0, HIDDEN).astype(scores.dtype)
    return bias, visible.any(axis=-1, keepdims=True).astype(scores.dtype)
