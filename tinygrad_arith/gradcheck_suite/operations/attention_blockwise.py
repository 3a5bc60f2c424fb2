"""`attention_blockwise`: where it is checked, and wrong backwards.

Cache: q, k, v as given to the forward, the output y, logsumexp (B, NHkv, G, Tq, 1), masks, scale, block.
"""

import numpy as np

from ..case import Case, Cases
from ..mutant import Mutant
from .attention import ENDINGS_OF_THREE, attention_cases, group_heads, slipped, slips_of, transposed, ungroup_heads


def _attention_blockwise(rng):
    """Those of attention, in blocks smaller than the keys, and blocks that do not divide them."""
    return tuple(
        Case(f"{case.name}, blocks of {block}", case.inputs, {**case.options, "block": block}, case.zero, case.allow)
        for case, block in zip(attention_cases(rng), (2, 3, 2, 2, 4, 2, 1, 2, 3, 2, 4, 1, 2, 2), strict=True)
    )


CASES: dict[str, Cases] = {"attention_blockwise": _attention_blockwise}


def _blockwise(**slips):
    """A mutant of `attention_blockwise`: the probabilities are rebuilt whole from the saved log-sum-exp."""

    def mutant(backward, dy, cache):
        q, k, v = (group_heads(x, cache.k.shape[2]) for x in (cache.q, cache.k, cache.v))
        visible = _visible(cache.q.shape[1], cache.k.shape[1], **cache.masks)
        scores = np.where(visible, (q @ transposed(k)) * cache.scale, -np.inf)  # (B, NHkv, G, Tq, Tk)
        return slipped(dy, q, k, v, np.exp(scores - cache.logsumexp), cache.scale, **slips)

    return mutant


def _visible(queries, keys, *, causal, key_mask, lengths):
    visible = np.ones((1, 1, 1, queries, keys), dtype=bool)
    if lengths is not None:
        key_mask = np.arange(keys) < lengths[:, None]
    if key_mask is not None:
        visible = visible & key_mask[:, None, None, None, :]
    return visible & np.tri(queries, keys, keys - queries, dtype=bool) if causal else visible


def _no_row_sum(backward, dy, cache):
    """The row sum of the blockwise form is taken from the saved output."""
    return backward(dy, cache._replace(y=np.zeros_like(cache.y)))


def _without(*masks):
    """A mutant of `attention_blockwise` that forgets some of its masks when it recomputes the scores."""

    def mutant(backward, dy, cache):
        forgotten = {name: False if name == "causal" else None for name in masks}
        return backward(dy, cache._replace(masks={**cache.masks, **forgotten}))

    return mutant


def _last_block_only(backward, dy, cache):
    """dq is overwritten by each block instead of added up: only the last block's keys count."""
    _, dk, dv = backward(dy, cache)
    keys, kv_heads = cache.k.shape[1], cache.k.shape[2]
    start = (keys - 1) // cache.block * cache.block
    q, k, v = (group_heads(x, kv_heads) for x in (cache.q, cache.k, cache.v))
    visible = _visible(cache.q.shape[1], keys, **cache.masks)
    p = np.exp(np.where(visible, (q @ transposed(k)) * cache.scale, -np.inf) - cache.logsumexp)
    row_sum = group_heads((dy * cache.y).sum(axis=-1, keepdims=True), kv_heads)  # (B, NHkv, G, Tq, 1)
    dscores = (p * (group_heads(dy, kv_heads) @ transposed(v) - row_sum))[..., start:]
    return ungroup_heads((dscores @ k[..., start:, :]) * cache.scale), dk, dv


MUTANTS: dict[str, dict[str, Mutant]] = {
    "attention_blockwise": {
        **slips_of(_blockwise),
        **ENDINGS_OF_THREE,
        "the row sum is missing from every block": _no_row_sum,
        "the causal mask is forgotten in the recomputed scores": _without("causal"),
        "the padding mask is forgotten in the recomputed scores": _without("key_mask", "lengths"),
        "dq of the last block of keys only": _last_block_only,
    }
}
