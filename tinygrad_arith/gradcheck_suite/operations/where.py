"""`where`: where it is checked, and wrong backwards. Cache: condition, a_shape, b_shape."""

import numpy as np

from ..case import Case, Cases
from ..mutant import Mutant, negated, one_element_wrong, ones_cotangent, scaled


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


CASES: dict[str, Cases] = {"where": _where}


def _both(backward, dy, cache):
    """Each of a and b gets the whole gradient."""
    everywhere = backward(dy, cache._replace(condition=np.ones_like(cache.condition)))
    nowhere = backward(dy, cache._replace(condition=np.zeros_like(cache.condition)))
    return everywhere[0], nowhere[1]


MUTANTS: dict[str, dict[str, Mutant]] = {
    "where": {
        "the condition the wrong way round": lambda backward, dy, cache: backward(
            dy, cache._replace(condition=~cache.condition)
        ),
        "both get the whole gradient": _both,
        "db is da": lambda backward, dy, cache: (
            backward(dy, cache)[0],
            backward(dy, cache._replace(condition=~cache.condition))[1],
        ),
        "half of the gradient for each": lambda backward, dy, cache: tuple(g / 2 for g in _both(backward, dy, cache)),
        "db with the wrong sign": negated(1),
        "one element of db scaled by 1.001": one_element_wrong(1),
        "da with the wrong sign": negated(0),
        "da scaled by 1.001": scaled(0),
        "dy not used": ones_cotangent,
    }
}
