"""Where `where`, `concatenate` and `stack` are checked."""

import numpy as np

from .case import Case, Cases


def _where(rng):
    def draw(*shape):
        return rng.normal(size=shape)

    condition = rng.permuted(np.arange(30) % 3 > 0).reshape(2, 5, 3)
    return (
        Case("same shape", (condition, draw(2, 5, 3), draw(2, 5, 3))),
        Case("b along the last axis", (condition, draw(2, 5, 3), draw(3))),
        Case("an axis of size 1 against 2", (condition[0, :, :2], draw(5, 1), draw(5, 2))),
        Case("a without axes", (condition, draw(), draw(2, 5, 3))),
        Case("a condition for each row", (condition[0, :, :1], draw(2, 5, 3), draw(5, 3))),
        Case("numbers as a condition", (np.array([0, 2, -1]), draw(4, 3), draw(4, 1))),
        Case("strided views", (condition.T[:, ::-1], draw(2, 5, 3).T, draw(6, 10, 2)[::2, ::-2])),
        Case("empty batch", (condition[:0], draw(0, 5, 3), draw(3)), zero=("b",), allow=("empty",)),
    )


def _concatenate(rng):
    def draw(*shape):
        return rng.normal(size=shape)

    return (
        Case("first axis", (draw(2, 5), draw(3, 5), draw(1, 5))),
        Case("last axis", (draw(2, 5, 3), draw(2, 5, 4)), {"axis": -1}),
        Case("middle axis", (draw(2, 5, 3), draw(2, 1, 3), draw(2, 4, 3)), {"axis": 1}),
        Case("one array", (draw(2, 5),)),
        Case("strided views", (draw(3, 10).T[::-2], draw(4, 6)[:, ::2])),
        Case("one of them empty", (draw(0, 5), draw(3, 5)), allow=("empty",)),
    )


def _stack(rng):
    def draw(*shape):
        return rng.normal(size=shape)

    return (
        Case("a new first axis", (draw(2, 5), draw(2, 5), draw(2, 5))),
        Case("a new last axis", (draw(2, 5), draw(2, 5), draw(2, 5)), {"axis": -1}),
        Case("a new axis between", (draw(2, 5, 3), draw(2, 5, 3)), {"axis": 1}),
        Case("numbers", (draw(), draw(), draw())),
        Case("one array", (draw(5, 3),), {"axis": 2}),
        Case("strided views", (draw(3, 10).T[::-2], draw(5, 6)[:, ::2])),
    )


CASES: dict[str, Cases] = {"where": _where, "concatenate": _concatenate, "stack": _stack}
