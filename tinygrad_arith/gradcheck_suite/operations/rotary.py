"""`rotary`: where it is checked, and wrong backwards.

Cache: cos and sin, (T, 1, HS/2) or (B, T, 1, HS/2).
"""

import numpy as np

from ..case import Case, Cases
from ..mutant import ENDINGS, Mutant, changed, with_cache, zeroed


def _rotary(rng):
    x = rng.normal(size=(2, 5, 3, 4))  # (B, T, NH, HS)
    own = np.array([[0, 4, 1, 7, 2], [30, 31, 32, 3, 5]])  # (B, T): positions of each row's own
    return (
        Case("in order", (x, np.arange(5)), sizes={"B": 2, "T": 5, "NH": 3, "HS": 4}),
        Case("positions of each row", (x, own), sizes={"B": 2, "T": 5, "NH": 3, "HS": 4}),
        Case("three pairs, small base", (rng.normal(size=(2, 5, 1, 6)), own), {"base": 50.0}),
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
    half = dy.shape[-1] // 2
    first, second = dy[..., :half], dy[..., half:]
    turned = first * cache.cos + second * cache.sin, second * cache.cos - first * cache.sin
    return np.concatenate(turned, axis=-1)


def _second_channel(backward, dy, cache):
    """The second channel of a pair is scaled by the cosine alone."""
    dx = np.array(backward(dy, cache))
    dx[..., 1::2] = dy[..., 1::2] * cache.cos
    return dx


MUTANTS: dict[str, dict[str, Mutant]] = {
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
        "zero": zeroed(),
        **ENDINGS,
    }
}
