"""Wrong backwards of `rotary` and `packed_rotary`.

Caches: `rotary` cos and sin, (T, 1, HS/2) or (B, T, 1, HS/2); `packed_rotary` the first one, as `rotary`, heads and
kv_heads.
"""

import numpy as np

from .common import changed, negated, one_element_wrong, ones_cotangent, scaled, with_cache, zeroed


def _angles(change):
    """A mutant of `rotary` that changes the cosines and the sines alike: other angles."""
    return with_cache(cos=change, sin=change)


def _halves(backward, dy, cache):
    """Channel i is paired with channel i + HS/2, not with its neighbour."""
    half = dy.shape[-1] // 2
    first, second = dy[..., :half], dy[..., half:]
    turned = first * cache.cos + second * cache.sin, second * cache.cos - first * cache.sin
    return np.concatenate(turned, axis=-1)


def _second_channel(backward, dy, cache):
    """The second channel of a pair is scaled by the cosine alone."""
    dx = np.array(backward(dy, cache))
    dx[..., 1::2] = dy[..., 1::2] * cache.cos
    return dx


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


_ENDINGS = {
    "wrong sign": negated(),
    "zero": zeroed(),
    "dy not used": ones_cotangent,
    "scaled by 1.001": scaled(),
    "one element scaled by 1.001": one_element_wrong(),
}

MUTANTS = {
    "rotary": {
        "turned on, not back": with_cache(sin=np.negative),
        "not turned at all": lambda backward, dy, cache: dy.copy(),
        "the sine terms are missing": with_cache(sin=np.zeros_like),
        "the cosine terms are missing": with_cache(cos=np.zeros_like),
        "the sine term of the second channel is missing": _second_channel,
        "channels paired by halves, not with their neighbours": _halves,
        "the two channels of a pair swapped": changed(
            0, lambda dx: dx.reshape(*dx.shape[:-1], dx.shape[-1] // 2, 2)[..., ::-1].reshape(dx.shape)
        ),
        "the frequencies in the wrong order": _angles(lambda a: a[..., ::-1]),
        "one frequency for all pairs": _angles(lambda a: a[..., :1] + np.zeros_like(a)),
        "the angle of the position before": _angles(lambda a: np.roll(a, 1, axis=-3)),
        "the first row's positions for all rows": _angles(lambda a: a[:1] + np.zeros_like(a) if a.ndim == 4 else a),
        **_ENDINGS,
    },
    "packed_rotary": {
        "turned on, not back": _packed(_on),
        "the angle of the position before": _packed(_next),
        "queries not turned back": _not_turned(_queries),
        "keys not turned back": _not_turned(_keys),
        "values turned too": _values_turned,
        "values without a gradient": _values_forgotten,
        "as many keys turned as there are queries": _as_if_not_grouped,
        **_ENDINGS,
    },
}
