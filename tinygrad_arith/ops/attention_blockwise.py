"""The same attention, block by block over the keys, with an online softmax: memory linear in T.

What `attention` saves, a (Tq, Tk) array a head, is here computed one block of keys at a time, thrown away, and computed
again in the backward. Only one number a query is kept: the log-sum-exp of its scores.

Online softmax: Milakov and Gimelshein 2018, arXiv 1805.02867. Attention with it, and its backward: Rabe and Staats
2021, arXiv 2112.05682; Dao et al., "FlashAttention", 2022, arXiv 2205.14135, algorithms 1 and 4.

Forward, for one query, over blocks of scores s₁, s₂, ... with values v₁, v₂, ...; after some blocks we hold
    m = the largest score so far,   l = Σ exp(s - m),   o = Σ exp(s - m) v.
A new block raises the largest score from m to m'. Since exp(s - m') = exp(s - m) exp(m - m'), what we hold is corrected
by the factor exp(m - m') and the block's own terms are added. At the end y = o / l and logsumexp = m + log l.

Backward: with the log-sum-exp L the probabilities of any block come back without their neighbours, p = exp(s - L).
The row sum that the softmax's backward needs, Σ_j p_j dp_j over all keys, needs no pass over the blocks either:
    dp_j = dy · v_j,   so   Σ_j p_j dp_j = dy · Σ_j p_j v_j = dy · y.
"""

import math
from typing import Any, NamedTuple

from ..backend import array_module
from .attention import (
    check_attention_shapes,
    key_heads_first,
    keys_back,
    queries_back,
    query_heads_first,
    shown_keys,
)
from .numbers import require_sizes
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes
from .sums import product

BLOCK = 64  # keys a block


class AttentionBlockwiseCache(NamedTuple):
    """Saved: the output and one number a query. q, k, v by reference. Linear in T."""

    q: Any  # (B, Tq, NH, HS)
    k: Any  # (B, Tk, NHkv, HS)
    v: Any  # (B, Tk, NHkv, HS)
    y: Any  # (B, Tq, NH, HS)
    logsumexp: Any  # (B, NHkv, G, Tq, 1), +inf for a query that sees nothing: exp(s - inf) = 0
    masks: dict[str, Any]
    scale: float
    block: int


def attention_blockwise_forward(q, k, v, *, causal=True, key_mask=None, lengths=None, scale=None, block=BLOCK):
    """Attention as `attention_forward` has it, `block` keys at a time. Returns y (B, Tq, NH, HS) and the cache."""
    xp = array_module(q)
    scale = 1.0 / math.sqrt(q.shape[-1]) if scale is None else float(scale)  # a NumPy number would widen
    # Copied: whose they are may change them
    own = {"key_mask": key_mask, "lengths": lengths}
    masks = {"causal": causal, **{name: None if mask is None else mask.copy() for name, mask in own.items()}}
    queries = query_heads_first(q, k.shape[2])  # (B, NHkv, G, Tq, HS)
    y = xp.zeros(queries.shape, dtype=q.dtype)  # (B, NHkv, G, Tq, HS), o above
    total = xp.zeros((*queries.shape[:-1], 1), dtype=q.dtype)  # (B, NHkv, G, Tq, 1), l above
    largest = xp.full_like(total, -math.inf)  # (B, NHkv, G, Tq, 1), m above

    for keys in key_blocks(k.shape[1], block):
        scores = block_scores(queries, q, k, keys, masks, scale)  # (B, NHkv, G, Tq, block)
        new_largest = xp.maximum(largest, scores.max(axis=-1, keepdims=True))  # (B, NHkv, G, Tq, 1), m'
        subtracted = xp.where(new_largest == -math.inf, 0.0, new_largest)  # nothing seen yet: exp(-inf - 0) = 0
        correction = xp.exp(largest - subtracted)  # (B, NHkv, G, Tq, 1), exp(m - m')
        weights = xp.exp(scores - subtracted)  # (B, NHkv, G, Tq, block)
        total = total * correction + weights.sum(axis=-1, keepdims=True)  # (B, NHkv, G, Tq, 1)
        y = y * correction + weights @ key_heads_first(v[:, keys])  # (B, NHkv, G, Tq, HS)
        largest = new_largest

    seen = total > 0.0  # (B, NHkv, G, Tq, 1)
    total = xp.where(seen, total, 1.0)  # (B, NHkv, G, Tq, 1)
    logsumexp = xp.where(seen, largest + xp.log(total), math.inf)  # (B, NHkv, G, Tq, 1)
    y = queries_back(y / total)  # (B, Tq, NH, HS)
    return y, AttentionBlockwiseCache(q, k, v, y, logsumexp, masks, scale, block)


def attention_blockwise_backward(dy, cache):  # dy (B, Tq, NH, HS)
    """Returns dq (B, Tq, NH, HS), dk and dv (B, Tk, NHkv, HS)."""
    xp = array_module(dy)
    q, k, v, y, logsumexp, masks, scale, block = cache
    queries = query_heads_first(q, k.shape[2])  # (B, NHkv, G, Tq, HS)
    # In float64: it is subtracted from what nearly equals it, and was summed in another order.
    wide = dy.astype("float64")  # (B, Tq, NH, HS)
    row_sum = query_heads_first((wide * y).sum(axis=-1, keepdims=True), k.shape[2])  # (B, NHkv, G, Tq, 1)
    dy, wide = query_heads_first(dy, k.shape[2]), query_heads_first(wide, k.shape[2])  # (B, NHkv, G, Tq, HS)
    dq = xp.zeros(queries.shape, dtype=q.dtype)  # (B, NHkv, G, Tq, HS)
    dk = xp.zeros(k.shape, dtype=k.dtype)  # (B, Tk, NHkv, HS)
    dv = xp.zeros(v.shape, dtype=v.dtype)  # (B, Tk, NHkv, HS)

    for keys in key_blocks(k.shape[1], block):
        scores = block_scores(queries, q, k, keys, masks, scale)  # (B, NHkv, G, Tq, block)
        probabilities = xp.exp(scores - logsumexp)  # (B, NHkv, G, Tq, block)
        # From here on as in attention_backward, for this block's keys:
        values = key_heads_first(v[:, keys]).astype("float64")  # (B, NHkv, 1, block, HS)
        dprobabilities = wide @ values.swapaxes(-1, -2)  # (B, NHkv, G, Tq, block)
        dscores = (probabilities * (dprobabilities - row_sum)).astype(q.dtype)  # (B, NHkv, G, Tq, block)
        dq = dq + (dscores @ key_heads_first(k[:, keys])) * scale  # every block adds to every query
        dk[:, keys] = keys_back(product(dscores.swapaxes(-1, -2), queries) * scale)  # (B, block, NHkv, HS)
        dv[:, keys] = keys_back(product(probabilities.swapaxes(-1, -2), dy))  # (B, block, NHkv, HS)
    return queries_back(dq), dk, dv


def key_blocks(keys, block):
    """The slices of 0..keys, `block` at a time; the last may be shorter."""
    return [slice(start, min(start + block, keys)) for start in range(0, keys, block)]


def block_scores(queries, q, k, keys, masks, scale):
    """Scores of all queries against one block of keys, -inf where hidden: (B, NHkv, G, Tq, block)."""
    xp = array_module(q)
    scores = (queries @ key_heads_first(k[:, keys]).swapaxes(-1, -2)) * scale  # (B, NHkv, G, Tq, block)
    visible = visible_block(q, k, keys, **masks)
    return scores if visible is None else xp.where(visible, scores, -math.inf)


def visible_block(q, k, keys, *, causal, key_mask, lengths):
    """`visible_keys` for one block of keys, without building it for all of them."""
    xp = array_module(q)
    shown = shown_keys(k.shape[1], key_mask, lengths)  # (B, Tk) or None
    visible = None if shown is None else shown[:, None, None, None, keys]  # (B, 1, 1, 1, block)
    if not causal:
        return visible
    position = xp.arange(q.shape[1])[:, None] + (k.shape[1] - q.shape[1])  # (Tq, 1)
    earlier = xp.arange(keys.start, keys.stop) <= position  # (Tq, block)
    return earlier if visible is None else visible & earlier


def attention_blockwise_shapes(
    q, k, v, *, causal=True, key_mask=None, lengths=None, scale=None, block=BLOCK
) -> OpShapes:
    """q (B, Tq, NH, HS), k and v (B, Tk, NHkv, HS) -> (B, Tq, NH, HS)."""
    check_attention_shapes("attention_blockwise", q, k, v, causal, key_mask, lengths, scale)
    require_sizes("attention_blockwise", block=block)
    out = ArraySpec(q.shape, q.dtype)
    rows = q.size // q.shape[-1]
    scores = rows * k.shape[1]
    flop = 4 * scores * q.shape[-1] + 8 * scores
    saved = rows * out.dtype.itemsize
    return OpShapes(out, saved, flop=flop, backward_flop=10 * scores * q.shape[-1] + 6 * scores)


ATTENTION_BLOCKWISE = Operation(
    "attention_blockwise",
    attention_blockwise_forward,
    attention_blockwise_backward,
    ("q", "k", "v"),
    attention_blockwise_shapes,
    arrays=("key_mask", "lengths"),
)
