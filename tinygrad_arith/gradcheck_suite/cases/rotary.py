"""Where `rotary` and `packed_rotary` are checked."""

import numpy as np

from .case import Case, Cases


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


def _packed_rotary(rng):
    qkv = rng.normal(size=(2, 5, 3 * 3 * 4))  # (B, T, 3 NH HS), NH = 3, HS = 4
    grouped = rng.normal(size=(2, 5, (6 + 2 * 2) * 4))  # NH = 6, NHkv = 2, HS = 4
    own = np.array([[0, 4, 1, 7, 2], [30, 31, 32, 3, 5]])  # (B, T)
    return (
        Case("in order", (qkv, np.arange(5)), {"heads": 3}, sizes={"B": 2, "T": 5, "NH": 3, "HS": 4}),
        Case("positions of each row", (qkv, own), {"heads": 3}),
        Case("grouped heads", (grouped, own), {"heads": 6, "kv_heads": 2}),
        Case("one head, small base", (rng.normal(size=(2, 5, 18)), own), {"heads": 1, "base": 50.0}),
        Case("one position", (qkv[:, :1], np.array([6])), {"heads": 3}),
        Case("strided view", (rng.normal(size=(36, 5, 2)).T, own), {"heads": 3}),
        Case("empty batch", (qkv[:0], np.arange(5)), {"heads": 3}, allow=("empty",)),
    )


CASES: dict[str, Cases] = {"rotary": _rotary, "packed_rotary": _packed_rotary}
