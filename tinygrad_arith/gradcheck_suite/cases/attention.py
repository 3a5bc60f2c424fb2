"""Where `attention`, `attention_blockwise` and `packed_attention` are checked."""

import numpy as np

from .case import Case, Cases


def _qkv(rng, batch=2, queries=5, keys=5, heads=4, kv_heads=4, head_size=3):
    return (
        rng.normal(size=(batch, queries, heads, head_size)),
        rng.normal(size=(batch, keys, kv_heads, head_size)),
        rng.normal(size=(batch, keys, kv_heads, head_size)),
    )


def _attention(rng):
    sizes = {"B": 2, "T": 5, "NH": 4, "HS": 3}
    packed = rng.normal(size=(2, 5, 12, 3))
    views = packed[:, :, :4], packed[:, :, 4:8], packed[:, :, 8:]
    hole = np.array([[True, False, True, True, True], [False, True, True, True, False]])  # (B, Tk)
    unseen = np.array([[False, False, True, True, True], [False] * 5])  # queries, and a whole row, that see nothing
    few = {"queries": 2, "keys": 5, "heads": 4, "kv_heads": 4}
    return (
        Case("causal", _qkv(rng), sizes=sizes),
        Case("full", _qkv(rng), {"causal": False}, sizes=sizes),
        Case("key mask", _qkv(rng), {"causal": False, "key_mask": hole}, sizes=sizes),
        Case("causal, key mask, queries that see nothing", _qkv(rng), {"key_mask": unseen}, sizes=sizes),
        Case("lengths", _qkv(rng), {"lengths": np.array([3, 5])}, sizes=sizes),
        Case("grouped heads", _qkv(rng, batch=3, queries=4, keys=7, heads=6, kv_heads=2, head_size=5)),
        Case("one key/value head", _qkv(rng, heads=4, kv_heads=1), {"causal": False}),
        Case("fewer queries, causal", _qkv(rng, **few, batch=1), sizes={"Tq": 2, "Tk": 5, "NH": 4, "HS": 3}),
        Case("fewer queries, full", _qkv(rng, **few, batch=1), {"causal": False}),
        Case("fewer queries, lengths", _qkv(rng, **few, batch=1), {"lengths": np.array([4])}),
        Case("own scale, large scores", tuple(3 * a for a in _qkv(rng, keys=6)), {"scale": 0.7}),
        Case("one position", _qkv(rng, queries=1, keys=1), zero=("q", "k")),
        Case("strided views", views, sizes=sizes),
        Case("empty batch", _qkv(rng, batch=0), allow=("empty",)),
    )


def _attention_blockwise(rng):
    """Those of attention, in blocks smaller than the keys, and blocks that do not divide them."""
    return tuple(
        Case(f"{case.name}, blocks of {block}", case.inputs, {**case.options, "block": block}, case.zero, case.allow)
        for case, block in zip(_attention(rng), (2, 3, 2, 2, 4, 2, 1, 2, 3, 2, 4, 1, 2, 2), strict=True)
    )


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


CASES: dict[str, Cases] = {
    "attention": _attention,
    "attention_blockwise": _attention_blockwise,
    "packed_attention": _packed_attention,
}
