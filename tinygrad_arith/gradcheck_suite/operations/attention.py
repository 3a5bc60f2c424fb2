"""`attention`: where it is checked, and wrong backwards: one plain backward whose steps can be left out or bent.

Cache: q (B, NHkv, G, Tq, HS), k and v (B, NHkv, 1, Tk, HS), probabilities (B, NHkv, G, Tq, Tk), scale.
The other forms of attention are checked at such inputs too, and make the same slips.
"""

import numpy as np

from ..case import Case, Cases
from ..mutant import Mutant, negated, one_element_wrong, ones_cotangent, scaled, swapped


def draw_qkv(rng, batch=2, queries=5, keys=5, heads=4, kv_heads=4, head_size=3):
    return (
        rng.normal(size=(batch, queries, heads, head_size)),
        rng.normal(size=(batch, keys, kv_heads, head_size)),
        rng.normal(size=(batch, keys, kv_heads, head_size)),
    )


def attention_cases(rng):
    sizes = {"B": 2, "T": 5, "NH": 4, "HS": 3}
    packed = rng.normal(size=(2, 5, 12, 3))
    views = packed[:, :, :4], packed[:, :, 4:8], packed[:, :, 8:]
    hole = np.array([[True, False, True, True, True], [False, True, True, True, False]])  # (B, Tk)
    unseen = np.array([[False, False, True, True, True], [False] * 5])  # queries, and a whole row, that see nothing
    few = {"queries": 2, "keys": 5, "heads": 4, "kv_heads": 4}
    return (
        Case("causal", draw_qkv(rng), sizes=sizes),
        Case("full", draw_qkv(rng), {"causal": False}, sizes=sizes),
        Case("key mask", draw_qkv(rng), {"causal": False, "key_mask": hole}, sizes=sizes),
        Case("causal, key mask, queries that see nothing", draw_qkv(rng), {"key_mask": unseen}, sizes=sizes),
        Case("lengths", draw_qkv(rng), {"lengths": np.array([3, 5])}, sizes=sizes),
        Case("grouped heads", draw_qkv(rng, batch=3, queries=4, keys=7, heads=6, kv_heads=2, head_size=5)),
        Case("one key/value head", draw_qkv(rng, heads=4, kv_heads=1), {"causal": False}),
        Case("fewer queries, causal", draw_qkv(rng, **few, batch=1), sizes={"Tq": 2, "Tk": 5, "NH": 4, "HS": 3}),
        Case("fewer queries, full", draw_qkv(rng, **few, batch=1), {"causal": False}),
        Case("fewer queries, lengths", draw_qkv(rng, **few, batch=1), {"lengths": np.array([4])}),
        Case("own scale, large scores", tuple(3 * a for a in draw_qkv(rng, keys=6)), {"scale": 0.7}),
        Case("one position", draw_qkv(rng, queries=1, keys=1), zero=("q", "k")),
        Case("strided views", views, sizes=sizes),
        Case("empty batch", draw_qkv(rng, batch=0), allow=("empty",)),
    )


CASES: dict[str, Cases] = {"attention": attention_cases}


def group_heads(x, kv_heads):  # (B, T, NH, HS) -> (B, NHkv, G, T, HS)
    batch, positions, heads, head_size = x.shape
    return x.reshape(batch, positions, kv_heads, heads // kv_heads, head_size).transpose(0, 2, 3, 1, 4)


def ungroup_heads(x):  # (B, NHkv, G, T, HS) -> (B, T, NH, HS)
    batch, kv_heads, group, positions, head_size = x.shape
    return x.transpose(0, 3, 1, 2, 4).reshape(batch, positions, kv_heads * group, head_size)


def _sum_of_groups(x, which=slice(None)):  # (B, NHkv, G, T, HS) -> (B, T, NHkv, HS)
    return x[:, :, which].sum(axis=2).transpose(0, 2, 1, 3)


def transposed(x):
    return x.swapaxes(-1, -2)


def _misread(p):  # (..., Tq, Tk) -> (..., Tk, Tq) without moving a number
    return p.reshape(*p.shape[:-2], p.shape[-1], p.shape[-2])


def _softmax(scores):
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def slipped(dy, q, k, v, p, scale, *, row_sum=True, row_axis=-1, factor_p=True, scale_q=True, scale_k=True,
            group=slice(None), turn=transposed, masked=True, from_scores=False):  # fmt: skip
    """The plain backward on q, k, v, p with heads first, and one slip per keyword. Returns dq, dk, dv.

    row_sum, row_axis: the softmax's subtracted sum, and over which axis;   factor_p: its factor p
    scale_q, scale_k:  the scale in dq and dk;   group: which query heads of a group count in dk and dv
    turn:              how the probabilities are transposed;   masked: False recomputes p without any mask
    from_scores:       dv from the gradient of the scores in place of the probabilities
    """
    dy = group_heads(dy, k.shape[1])  # (B, NHkv, G, Tq, HS)
    p = p if masked else _softmax((q @ transposed(k)) * scale)  # (B, NHkv, G, Tq, Tk)
    dp = dy @ transposed(v)  # (B, NHkv, G, Tq, Tk)
    subtracted = (p * dp).sum(axis=row_axis, keepdims=True) if row_sum else 0.0
    dscores = (p if factor_p else 1.0) * (dp - subtracted)  # (B, NHkv, G, Tq, Tk)
    dq = (dscores @ k) * (scale if scale_q else 1.0)  # (B, NHkv, G, Tq, HS)
    dk = (turn(dscores) @ q) * (scale if scale_k else 1.0)  # (B, NHkv, G, Tk, HS)
    dv = turn(dscores if from_scores else p) @ dy  # (B, NHkv, G, Tk, HS)
    return ungroup_heads(dq), _sum_of_groups(dk, group), _sum_of_groups(dv, group)


def _standard(**slips):
    """A mutant of `attention`."""
    return lambda backward, dy, cache: slipped(dy, cache.q, cache.k, cache.v, cache.probabilities, cache.scale, **slips)


def slips_of(form):
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


ENDINGS_OF_THREE = {
    "dk with the wrong sign": negated(1),
    "dq and dk swapped": swapped(0, 1),
    "dk and dv swapped": swapped(1, 2),
    "dy not used": ones_cotangent,
    "dv scaled by 1.001": scaled(2),
    "one element of dq scaled by 1.001": one_element_wrong(0),
}


MUTANTS: dict[str, dict[str, Mutant]] = {"attention": {**slips_of(_standard), **ENDINGS_OF_THREE}}
