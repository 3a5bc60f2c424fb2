"""`packed_rotary`: where it is checked, and wrong backwards.

Cache: rotary, that of `rotary` on queries and keys side by side; heads, kv_heads.
"""

import numpy as np

from ...ops.rotary_scaling import LinearScaling
from ..case import Case, Cases
from ..mutant import ENDINGS, Mutant, zeroed


def _packed_rotary(rng):
    qkv = rng.normal(size=(2, 5, 3 * 3 * 4))  # (B, T, 3 NH HS), NH = 3, HS = 4
    grouped = rng.normal(size=(2, 5, (6 + 2 * 2) * 4))  # NH = 6, NHkv = 2, HS = 4
    own = np.array([[0, 4, 1, 7, 2], [30, 31, 32, 3, 5]])  # (B, T)
    return (
        Case("in order", (qkv, np.arange(5)), {"heads": 3}, sizes={"B": 2, "T": 5, "NH": 3, "HS": 4}),
        Case("positions of each row", (qkv, own), {"heads": 3}),
        Case("grouped heads", (grouped, own), {"heads": 6, "kv_heads": 2}),
        Case("one head, small base", (rng.normal(size=(2, 5, 18)), own), {"heads": 1, "base": 50.0}),
        Case(
            "part of each head, in halves", (grouped, own), {"heads": 6, "kv_heads": 2, "pairing": "halves", "width": 2}
        ),
        Case("positions divided", (qkv, own), {"heads": 3, "scaling": LinearScaling(3.0)}),
        Case("one position", (qkv[:, :1], np.array([6])), {"heads": 3}),
        Case("strided view", (rng.normal(size=(36, 5, 2)).T, own), {"heads": 3}),
        Case("empty batch", (qkv[:0], np.arange(5)), {"heads": 3}, allow=("empty",)),
    )


CASES: dict[str, Cases] = {"packed_rotary": _packed_rotary}


def _packed(mutant):
    """A mutant of `rotary` inside `packed_rotary`: its slip on queries and keys, the values as they are."""

    def packed(backward, dy, cache):
        return backward(dy, cache._replace(rotary=mutant(cache.rotary)))

    return packed


def _not_turned(which):
    """A mutant of `packed_rotary` that forgets to turn the gradient of the queries, or of the keys."""

    def mutant(backward, dy, cache):
        dqkv = np.array(backward(dy, cache))
        part = which(cache, dy.shape[-1] // (cache.heads + 2 * cache.kv_heads))
        dqkv[..., part] = dy[..., part]
        return dqkv

    return mutant


def _queries(cache, head_size):
    return slice(None, cache.heads * head_size)


def _keys(cache, head_size):
    return slice(cache.heads * head_size, (cache.heads + cache.kv_heads) * head_size)


def _values_turned(backward, dy, cache):
    """The gradient of the values is turned like the others: all parts are taken for queries."""
    return backward(dy, cache._replace(heads=cache.heads + 2 * cache.kv_heads, kv_heads=0))


def _values_forgotten(backward, dy, cache):
    """The values get no gradient."""
    dqkv = np.array(backward(dy, cache))
    dqkv[..., (cache.heads + cache.kv_heads) * (dy.shape[-1] // (cache.heads + 2 * cache.kv_heads)) :] = 0.0
    return dqkv


def _as_if_not_grouped(backward, dy, cache):
    """As many keys as queries are turned, however many key heads there are."""
    parts = cache.heads + 2 * cache.kv_heads
    turned = min(2 * cache.heads, parts)
    return backward(dy, cache._replace(heads=2 * turned - parts, kv_heads=parts - turned))


def _on(cache):
    return cache._replace(sin=-cache.sin)


def _next(cache):
    return cache._replace(cos=np.roll(cache.cos, 1, axis=-3), sin=np.roll(cache.sin, 1, axis=-3))


MUTANTS: dict[str, dict[str, Mutant]] = {
    "packed_rotary": {
        "turned on, not back": _packed(_on),
        "the angle of the position before": _packed(_next),
        "queries not turned back": _not_turned(_queries),
        "keys not turned back": _not_turned(_keys),
        "values turned too": _values_turned,
        "values without a gradient": _values_forgotten,
        "as many keys turned as there are queries": _as_if_not_grouped,
        "zero": zeroed(),
        **ENDINGS,
    }
}
