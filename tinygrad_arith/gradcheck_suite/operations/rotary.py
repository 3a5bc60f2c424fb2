"""`rotary`: where it is checked, and wrong backwards.

Cache: cos and sin, (T, 1, W/2) or (B, T, 1, W/2), and pairing.
"""

import numpy as np

from ...ops.rotary_scaling import LinearScaling, Llama3Scaling, LongRopeScaling
from ..case import Case, Cases
from ..mutant import ENDINGS, Mutant, changed, with_cache, zeroed


def _rotary(rng):
    x = rng.normal(size=(2, 5, 3, 4))  # (B, T, NH, HS)
    own = np.array([[0, 4, 1, 7, 2], [30, 31, 32, 3, 5]])  # (B, T): positions of each row's own
    return (
        Case("in order", (x, np.arange(5)), sizes={"B": 2, "T": 5, "NH": 3, "HS": 4}),
        Case("positions of each row", (x, own), sizes={"B": 2, "T": 5, "NH": 3, "HS": 4}),
        Case("three pairs, small base", (rng.normal(size=(2, 5, 1, 6)), own), {"base": 50.0}),
        Case("halves", (rng.normal(size=(2, 5, 3, 6)), own), {"pairing": "halves"}),
        Case("part of a head, in halves", (rng.normal(size=(2, 5, 3, 7)), own), {"pairing": "halves", "width": 4}),
        Case("part of a head", (rng.normal(size=(2, 5, 3, 6)), own), {"width": 4}),
        Case("positions divided", (x, own), {"scaling": LinearScaling(3.0)}),
        Case(
            "long waves stretched",
            (rng.normal(size=(2, 5, 1, 8)), own),
            {"base": 100.0, "scaling": Llama3Scaling(8.0, original=64)},
        ),
        Case("a factor a pair", (x, own), {"scaling": LongRopeScaling((1.5, 4.0), magnitude=1.2)}),
        Case("one pair", (rng.normal(size=(3, 5, 4, 2)), np.arange(5))),
        Case("far positions", (x, np.arange(5) + 100_000)),
        Case("one position", (x[:, :1], np.array([6]))),
        Case("strided view", (rng.normal(size=(4, 3, 10, 2)).T[:, ::-2], own)),
        Case("empty batch", (x[:0], np.arange(5)), allow=("empty",)),
    )


CASES: dict[str, Cases] = {"rotary": _rotary}


def _angles(change):
    """A mutant of `rotary` that changes the cosines and the sines alike: other angles."""
    return with_cache(cos=change, sin=change)


def _halves(backward, dy, cache):
    """Channel i is paired with channel i + HS/2, not with its neighbour."""
    half = cache.cos.shape[-1]
    first, second, rest = dy[..., :half], dy[..., half : 2 * half], dy[..., 2 * half :]
    turned = first * cache.cos + second * cache.sin, second * cache.cos - first * cache.sin
    return np.concatenate([*turned, rest], axis=-1)


def _rest_forgotten(backward, dy, cache):
    """The channels that are not turned get no gradient."""
    dx = np.array(backward(dy, cache))
    dx[..., 2 * cache.cos.shape[-1] :] = 0.0
    return dx


def _without_magnitude(backward, dy, cache):
    """Turned back by angles alone."""
    size = np.sqrt(cache.cos * cache.cos + cache.sin * cache.sin)
    return backward(dy, cache._replace(cos=cache.cos / size, sin=cache.sin / size))


def _second_channel(backward, dy, cache):
    """The second channel of a pair is scaled by the cosine alone."""
    dx = np.array(backward(dy, cache))
    width = 2 * cache.cos.shape[-1]
    dx[..., 1:width:2] = dy[..., 1:width:2] * cache.cos
    return dx


def _pairs_swapped(dx):
    """The two channels of a pair of neighbours swapped, where there are pairs only."""
    even = dx.shape[-1] // 2 * 2
    pairs = dx[..., :even].reshape(*dx.shape[:-1], even // 2, 2)[..., ::-1]
    return np.concatenate([pairs.reshape(*dx.shape[:-1], even), dx[..., even:]], axis=-1)


MUTANTS: dict[str, dict[str, Mutant]] = {
    "rotary": {
        "turned on, not back": with_cache(sin=np.negative),
        "not turned at all": lambda backward, dy, cache: dy.copy(),
        "the sine terms are missing": with_cache(sin=np.zeros_like),
        "the cosine terms are missing": with_cache(cos=np.zeros_like),
        "the sine term of the second channel is missing": _second_channel,
        "channels paired by halves, not with their neighbours": _halves,
        "channels paired with their neighbours, not by halves": with_cache(pairing=lambda pairing: "neighbours"),
        "channels beyond the width without a gradient": _rest_forgotten,
        "without the magnitude of a long context": _without_magnitude,
        "the two channels of a pair swapped": changed(0, _pairs_swapped),
        "the frequencies in the wrong order": _angles(lambda a: a[..., ::-1]),
        "one frequency for all pairs": _angles(lambda a: a[..., :1] + np.zeros_like(a)),
        "the angle of the position before": _angles(lambda a: np.roll(a, 1, axis=-3)),
        "the first row's positions for all rows": _angles(lambda a: a[:1] + np.zeros_like(a) if a.ndim == 4 else a),
        "zero": zeroed(),
        **ENDINGS,
    }
}
