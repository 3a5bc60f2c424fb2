"""Scaled dot-product attention, with its probabilities saved for the backward: the standard form.

    scores = q kᵀ scale;   p = softmax(scores) over the keys a query may see;   y = p v

Vaswani et al.: "Attention Is All You Need", 2017, arXiv 1706.03762, equation 1. Grouped-query attention (fewer
key/value heads than query heads): Ainslie et al., 2023, arXiv 2305.13245.

Sizes: B batch, Tq queries, Tk keys, NH query heads, NHkv key/value heads, G = NH / NHkv query heads that share one
key/value head, HS head size. q is (B, Tq, NH, HS), k and v are (B, Tk, NHkv, HS), in any strides.

`attention_blockwise` computes the same without ever holding a (Tq, Tk) array.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module
from .numbers import is_real
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, require
from .sums import product, sum_over


class AttentionCache(NamedTuple):
    """Saved: the probabilities, Tq x Tk numbers a head: the price of this form. q, k, v by reference."""

    q: Any  # (B, NHkv, G, Tq, HS)
    k: Any  # (B, NHkv, 1, Tk, HS)
    v: Any  # (B, NHkv, 1, Tk, HS)
    probabilities: Any  # (B, NHkv, G, Tq, Tk)
    scale: float


def attention_forward(q, k, v, *, causal=True, key_mask=None, lengths=None, scale=None):
    """Attention of each query over the keys it may see.

    q (B, Tq, NH, HS); k, v (B, Tk, NHkv, HS), NHkv a divisor of NH.
    causal:   a query sees no later key; the last query is aligned with the last key (so Tq <= Tk when decoding)
    key_mask: (B, Tk) bool, False hides a key from everyone; of integers 0 does
    lengths:  (B,) int, shorthand for key_mask: the first lengths[b] keys are real
    scale:    default 1 / sqrt(HS)

    A query that sees no key gets zeros. Returns y (B, Tq, NH, HS) and the cache.
    """
    xp = array_module(q)
    scale = 1.0 / math.sqrt(q.shape[-1]) if scale is None else float(scale)  # a NumPy number would widen
    visible = visible_keys(q, k, causal=causal, key_mask=key_mask, lengths=lengths)
    q, k, v = query_heads_first(q, k.shape[2]), key_heads_first(k), key_heads_first(v)

    scores = (q @ k.swapaxes(-1, -2)) * scale  # (B, NHkv, G, Tq, Tk)
    if visible is not None:
        scores = xp.where(visible, scores, -math.inf)  # (B, NHkv, G, Tq, Tk)
    largest = scores.max(axis=-1, keepdims=True)  # (B, NHkv, G, Tq, 1)
    largest = xp.where(largest == -math.inf, 0.0, largest)  # a query that sees nothing: exp(-inf - 0) is 0, no NaN
    weights = xp.exp(scores - largest)  # (B, NHkv, G, Tq, Tk), 0 where hidden
    total = weights.sum(axis=-1, keepdims=True)  # (B, NHkv, G, Tq, 1)
    probabilities = weights / xp.where(total == 0.0, 1.0, total)  # (B, NHkv, G, Tq, Tk)
    y = probabilities @ v  # (B, NHkv, G, Tq, HS)
    return queries_back(y), AttentionCache(q, k, v, probabilities, scale)


def attention_backward(dy, cache):  # dy (B, Tq, NH, HS)
    """Returns dq (B, Tq, NH, HS), dk and dv (B, Tk, NHkv, HS)."""
    q, k, v, probabilities, scale = cache
    dy = query_heads_first(dy, k.shape[1])  # (B, NHkv, G, Tq, HS)

    # forward: y = p v
    dprobabilities = dy @ v.swapaxes(-1, -2)  # (B, NHkv, G, Tq, Tk)
    dv = product(probabilities.swapaxes(-1, -2), dy)  # (B, NHkv, G, Tk, HS)

    # forward: p = softmax(scores). One row's Jacobian is diag(p) - p pᵀ, so
    #   dscores[j] = p[j] (dp[j] - sum_i p[i] dp[i]),
    # where the sum is the row's share in the normalising total. Hidden keys have p = 0 and so dscores = 0.
    row_sum = (probabilities * dprobabilities).sum(axis=-1, keepdims=True)  # (B, NHkv, G, Tq, 1)
    dscores = probabilities * (dprobabilities - row_sum)  # (B, NHkv, G, Tq, Tk)

    # forward: scores = q kᵀ scale
    dq = (dscores @ k) * scale  # (B, NHkv, G, Tq, HS)
    dk = product(dscores.swapaxes(-1, -2), q) * scale  # (B, NHkv, G, Tk, HS)
    # A key/value head is shared by the G query heads of its group: their gradients add up.
    return queries_back(dq), keys_back(dk), keys_back(dv)


def visible_keys(q, k, *, causal, key_mask, lengths):
    """Which keys a query may see: bool, broadcastable to (B, NHkv, G, Tq, Tk); None where all see all."""
    xp = array_module(q)
    queries, keys = q.shape[1], k.shape[1]
    visible = shown_keys(keys, key_mask, lengths)  # (B, Tk) or None
    if visible is not None:
        visible = visible[:, None, None, None, :]  # (B, 1, 1, 1, Tk)
    if causal:
        position = xp.arange(queries)[:, None] + (keys - queries)  # (Tq, 1): the last query stands at the last key
        earlier = xp.arange(keys) <= position  # (Tq, Tk)
        visible = earlier if visible is None else visible & earlier  # (B, 1, 1, Tq, Tk)
    return visible


def shown_keys(keys, key_mask, lengths):
    """Which of so many keys anybody may see, (B, Tk) bool; None where all are shown."""
    if lengths is not None:
        xp = array_module(lengths)
        return xp.arange(keys) < lengths[:, None]  # (B, Tk)
    return None if key_mask is None else key_mask != 0


def query_heads_first(x, kv_heads):  # (B, Tq, NH, HS) -> (B, NHkv, G, Tq, HS), a view
    """Heads before positions, grouped by the key/value head they share: matrix products run over the last two axes."""
    batch, positions, heads, head_size = x.shape
    return x.reshape(batch, positions, kv_heads, heads // kv_heads, head_size).transpose(0, 2, 3, 1, 4)


def key_heads_first(x):  # (B, Tk, NHkv, HS) -> (B, NHkv, 1, Tk, HS), a view
    """Heads before positions, with an axis of one for the query heads of the group."""
    return x.transpose(0, 2, 1, 3)[:, :, None]


def queries_back(x):  # (B, NHkv, G, Tq, HS) -> (B, Tq, NH, HS)
    """The inverse of `query_heads_first`."""
    batch, kv_heads, group, positions, head_size = x.shape
    return x.transpose(0, 3, 1, 2, 4).reshape(batch, positions, kv_heads * group, head_size)


def keys_back(x):  # (B, NHkv, G, Tk, HS) -> (B, Tk, NHkv, HS)
    """The inverse of `key_heads_first`, summing the gradients of the group that shares a head."""
    return sum_over(x, (2,)).transpose(0, 2, 1, 3)


def attention_shapes(q, k, v, *, causal=True, key_mask=None, lengths=None, scale=None) -> OpShapes:
    """q (B, Tq, NH, HS), k and v (B, Tk, NHkv, HS) -> (B, Tq, NH, HS)."""
    check_attention_shapes("attention", q, k, v, causal, key_mask, lengths, scale)
    out = ArraySpec(q.shape, q.dtype)
    scores = q.size // q.shape[-1] * k.shape[1] if q.size else 0
    flop = 4 * scores * q.shape[-1] + 6 * scores
    return OpShapes(out, scores * out.dtype.itemsize, flop=flop, backward_flop=8 * scores * q.shape[-1] + 4 * scores)


def check_attention_shapes(name, q, k, v, causal, key_mask, lengths, scale) -> None:
    """Raises `ShapeError` unless the arguments of an attention fit together."""
    shapes = {"q": q, "k": k, "v": v}
    rule = "q must be (B, Tq, NH, HS), k and v (B, Tk, NHkv, HS)"
    require(q.ndim == k.ndim == 4 and k.shape == v.shape, name, rule, **shapes)
    require(q.shape[0] == k.shape[0] and q.shape[3] == k.shape[3], name, rule, **shapes)
    require(k.shape[2] > 0 and q.shape[2] % k.shape[2] == 0, name, "NHkv must divide NH", **shapes)
    require(k.shape[1] > 0, name, "there must be at least one key", **shapes)
    if causal:
        require(q.shape[1] <= k.shape[1], name, "causal needs at least as many keys as queries", **shapes)
    if key_mask is not None:
        require(key_mask.shape == k.shape[:2], name, "key_mask must be (B, Tk)", k=k, key_mask=key_mask)
        check_mask_dtype(name, key_mask)
    if lengths is not None:
        require(lengths.shape == k.shape[:1], name, "lengths must be (B,)", k=k, lengths=lengths)
        require(key_mask is None, name, "give key_mask or lengths, not both", key_mask=key_mask, lengths=lengths)
        whole = np.dtype(lengths.dtype).kind in "iu"
        require(whole, name, f"lengths must be integers, not {lengths.dtype}", lengths=lengths)
    require(scale is None or is_real(scale), name, f"scale must be a number, not {scale!r}")


def check_mask_dtype(name, key_mask) -> None:
    """Raises `ShapeError` for a mask of floats: in one that is added to the scores 0 shows a key."""
    whole = np.dtype(key_mask.dtype).kind in "biu"
    require(whole, name, f"key_mask must be bool, or integers of which 0 hides a key, not {key_mask.dtype}")


ATTENTION = Operation(
    "attention",
    attention_forward,
    attention_backward,
    ("q", "k", "v"),
    attention_shapes,
    arrays=("key_mask", "lengths"),
)
