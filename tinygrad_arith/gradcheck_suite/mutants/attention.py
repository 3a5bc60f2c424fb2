"""Wrong backwards of the three attentions: one plain backward whose steps can be left out or bent.

Caches: `attention` q (B, NHkv, G, Tq, HS), k and v (B, NHkv, 1, Tk, HS), probabilities (B, NHkv, G, Tq, Tk), scale;
`attention_blockwise` q, k, v as given to the forward, the output y, logsumexp (B, NHkv, G, Tq, 1), masks, scale, block;
`packed_attention` the first one, as `attention`.
"""

import numpy as np

from .common import negated, one_element_wrong, ones_cotangent, scaled, swapped


def _group(x, kv_heads):  # (B, T, NH, HS) -> (B, NHkv, G, T, HS)
    batch, positions, heads, head_size = x.shape
    return x.reshape(batch, positions, kv_heads, heads // kv_heads, head_size).transpose(0, 2, 3, 1, 4)


def _ungroup(x):  # (B, NHkv, G, T, HS) -> (B, T, NH, HS)
    batch, kv_heads, group, positions, head_size = x.shape
    return x.transpose(0, 3, 1, 2, 4).reshape(batch, positions, kv_heads * group, head_size)


def _sum_of_groups(x, which=slice(None)):  # (B, NHkv, G, T, HS) -> (B, T, NHkv, HS)
    return x[:, :, which].sum(axis=2).transpose(0, 2, 1, 3)


def _transposed(x):
    return x.swapaxes(-1, -2)


def _misread(p):  # (..., Tq, Tk) -> (..., Tk, Tq) without moving a number
    return p.reshape(*p.shape[:-2], p.shape[-1], p.shape[-2])


def _softmax(scores):
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def slipped(dy, q, k, v, p, scale, *, row_sum=True, row_axis=-1, factor_p=True, scale_q=True, scale_k=True,
            group=slice(None), turn=_transposed, masked=True, from_scores=False):  # fmt: skip
    """The plain backward on q, k, v, p with heads first, and one slip per keyword. Returns dq, dk, dv.

    row_sum, row_axis: the softmax's subtracted sum, and over which axis;   factor_p: its factor p
    scale_q, scale_k:  the scale in dq and dk;   group: which query heads of a group count in dk and dv
    turn:              how the probabilities are transposed;   masked: False recomputes p without any mask
    from_scores:       dv from the gradient of the scores in place of the probabilities
    """
    dy = _group(dy, k.shape[1])  # (B, NHkv, G, Tq, HS)
    p = p if masked else _softmax((q @ _transposed(k)) * scale)  # (B, NHkv, G, Tq, Tk)
    dp = dy @ _transposed(v)  # (B, NHkv, G, Tq, Tk)
    subtracted = (p * dp).sum(axis=row_axis, keepdims=True) if row_sum else 0.0
    dscores = (p if factor_p else 1.0) * (dp - subtracted)  # (B, NHkv, G, Tq, Tk)
    dq = (dscores @ k) * (scale if scale_q else 1.0)  # (B, NHkv, G, Tq, HS)
    dk = (turn(dscores) @ q) * (scale if scale_k else 1.0)  # (B, NHkv, G, Tk, HS)
    dv = turn(dscores if from_scores else p) @ dy  # (B, NHkv, G, Tk, HS)
    return _ungroup(dq), _sum_of_groups(dk, group), _sum_of_groups(dv, group)


def _standard(**slips):
    """A mutant of `attention`."""
    return lambda backward, dy, cache: slipped(dy, cache.q, cache.k, cache.v, cache.probabilities, cache.scale, **slips)


def _blockwise(**slips):
    """A mutant of `attention_blockwise`: the probabilities are rebuilt whole from the saved log-sum-exp."""

    def mutant(backward, dy, cache):
        q, k, v = (_group(x, cache.k.shape[2]) for x in (cache.q, cache.k, cache.v))
        visible = _visible(cache.q.shape[1], cache.k.shape[1], **cache.masks)
        scores = np.where(visible, (q @ _transposed(k)) * cache.scale, -np.inf)  # (B, NHkv, G, Tq, Tk)
        return slipped(dy, q, k, v, np.exp(scores - cache.logsumexp), cache.scale, **slips)

    return mutant


def _visible(queries, keys, *, causal, key_mask, lengths):
    visible = np.ones((1, 1, 1, queries, keys), dtype=bool)
    if lengths is not None:
        key_mask = np.arange(keys) < lengths[:, None]
    if key_mask is not None:
        visible = visible & key_mask[:, None, None, None, :]
    return visible & np.tri(queries, keys, keys - queries, dtype=bool) if causal else visible


def _packed(**slips):
    """A mutant of `packed_attention`."""

    def mutant(backward, dy, cache):
        inner = cache.attention
        batch, kv_heads, group, positions, head_size = inner.q.shape
        dy = dy.reshape(batch, positions, kv_heads * group, head_size)  # (B, T, NH, HS)
        parts = slipped(dy, inner.q, inner.k, inner.v, inner.probabilities, inner.scale, **slips)
        return _pack(parts)

    return mutant


def _pack(parts):
    packed = np.concatenate(parts, axis=2)  # (B, T, NH + 2 NHkv, HS)
    return packed.reshape(*packed.shape[:2], packed.shape[2] * packed.shape[3])


def _keys_and_values_swapped(backward, dy, cache):
    """dk and dv change places in the packed gradient."""
    heads = cache.attention.q.shape[1] * cache.attention.q.shape[2]
    kv_heads, head_size = cache.attention.k.shape[1], cache.attention.q.shape[-1]
    dqkv = backward(dy, cache)
    start, middle = heads * head_size, (heads + kv_heads) * head_size
    return np.concatenate([dqkv[..., :start], dqkv[..., middle:], dqkv[..., start:middle]], axis=-1)


def _heads_not_interleaved(backward, dy, cache):
    """The gradient is packed head size first, heads last."""
    head_size = cache.attention.q.shape[-1]
    dqkv = backward(dy, cache)
    parts = dqkv.reshape(*dqkv.shape[:2], dqkv.shape[2] // head_size, head_size)  # (B, T, NH + 2 NHkv, HS)
    return parts.swapaxes(-1, -2).reshape(dqkv.shape)


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
    q, k, v = (_group(x, kv_heads) for x in (cache.q, cache.k, cache.v))
    visible = _visible(cache.q.shape[1], keys, **cache.masks)
    p = np.exp(np.where(visible, (q @ _transposed(k)) * cache.scale, -np.inf) - cache.logsumexp)
    row_sum = _group((dy * cache.y).sum(axis=-1, keepdims=True), kv_heads)  # (B, NHkv, G, Tq, 1)
    dscores = (p * (_group(dy, kv_heads) @ _transposed(v) - row_sum))[..., start:]
    return _ungroup((dscores @ k[..., start:, :]) * cache.scale), dk, dv


def _slips(form):
    """The slips that every form of attention can make."""
    return {
        "dscores without the row-sum term": form(row_sum=False),
        "the row sum taken over the queries": form(row_axis=-2),
        "dscores without the factor p": form(factor_p=False),
        "dq without the scale": form(scale_q=False),
        "dk without the scale": form(scale_k=False),
        "probabilities reshaped, not transposed, for dk and dv": form(turn=_misread),
        "the masks are not applied": form(masked=False),
        "dv from dscores instead of the probabilities": form(from_scores=True),
        "dk and dv of the last query head of each group only": form(group=slice(-1, None)),
    }


_ENDINGS = {
    "dk with the wrong sign": negated(1),
    "dq and dk swapped": swapped(0, 1),
    "dk and dv swapped": swapped(1, 2),
    "dy not used": ones_cotangent,
    "dv scaled by 1.001": scaled(2),
    "one element of dq scaled by 1.001": one_element_wrong(0),
}

MUTANTS = {
    "attention": {**_slips(_standard), **_ENDINGS},
    "attention_blockwise": {
        **_slips(_blockwise),
        **_ENDINGS,
        "the row sum is missing from every block": _no_row_sum,
        "the causal mask is forgotten in the recomputed scores": _without("causal"),
        "the padding mask is forgotten in the recomputed scores": _without("key_mask", "lengths"),
        "dq of the last block of keys only": _last_block_only,
    },
    "packed_attention": {
        **_slips(_packed),
        "dk and dv swapped in the packed gradient": _keys_and_values_swapped,
        "packed with the head size before the heads": _heads_not_interleaved,
        "wrong sign": negated(),
        "dy not used": ones_cotangent,
        "scaled by 1.001": scaled(),
        "one element scaled by 1.001": one_element_wrong(),
    },
}
