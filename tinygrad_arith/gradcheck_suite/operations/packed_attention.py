"""`packed_attention`: where it is checked, and wrong backwards. Cache: attention, that of `attention`."""

import numpy as np

from ..case import Case, Cases
from ..mutant import ENDINGS, Mutant
from .attention import slipped, slips_of


def _packed_attention(rng):
    qkv = rng.normal(size=(2, 5, 4 * 3 * 3))  # (B, T, 3 NH HS), NH = 4, HS = 3
    grouped = rng.normal(size=(2, 5, (6 + 2 * 2) * 3))  # NH = 6, NHkv = 2, HS = 3
    mask = np.array([[True, True, False, True, True], [True, True, True, True, False]])
    return (
        Case("causal", (qkv,), {"heads": 4}, sizes={"B": 2, "T": 5, "NH": 4, "HS": 3}),
        Case("full", (qkv,), {"heads": 4, "causal": False}),
        Case("key mask", (qkv,), {"heads": 4, "key_mask": mask}),
        Case("lengths", (qkv,), {"heads": 4, "lengths": np.array([2, 5])}),
        Case("grouped heads", (grouped,), {"heads": 6, "kv_heads": 2}),
        Case("one head", (rng.normal(size=(2, 5, 9)),), {"heads": 1, "causal": False}),
        Case("one position", (qkv[:, :1],), {"heads": 4}),
        Case("strided view", (rng.normal(size=(36, 5, 2)).T,), {"heads": 4}),
        Case("empty batch", (qkv[:0],), {"heads": 4}, allow=("empty",)),
    )


CASES: dict[str, Cases] = {"packed_attention": _packed_attention}


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


MUTANTS: dict[str, dict[str, Mutant]] = {
    "packed_attention": {
        **slips_of(_packed),
        "dk and dv swapped in the packed gradient": _keys_and_values_swapped,
        "packed with the head size before the heads": _heads_not_interleaved,
        **ENDINGS,
    }
}
