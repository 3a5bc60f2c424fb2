"""`ffn`: where it is checked, and wrong backwards.

Cache: up and down (those of `linear`: x, weight), activation, name.
"""

import numpy as np

from ..case import Case, Cases
from ..mutant import Mutant, misread, negated, one_element_wrong, ones_cotangent, scaled, swapped


def _ffn(rng):
    parameters = rng.normal(size=(3, 7)), rng.normal(size=7), rng.normal(size=(7, 3)), rng.normal(size=3)
    x = rng.normal(size=(2, 5, 3))
    return (
        Case("tanh GELU", (x, *parameters), sizes={"B": 2, "T": 5, "C": 3, "F": 7}),
        Case("ReLU", (x, *parameters), {"activation": "relu"}),
        Case("exact GELU", (x, *parameters), {"activation": "gelu-exact"}),
        Case("one row", (x[0, 0], *parameters)),
        Case("strided view", (rng.normal(size=(3, 10, 2)).T[:, ::-2], *parameters)),
        Case("empty batch", (x[:0], *parameters), zero=("w1", "b1", "w2", "b2"), allow=("empty",)),
        Case("SiLU", (x, *parameters), {"activation": "silu"}),
    )


CASES: dict[str, Cases] = {"ffn": _ffn}


def _no_activation(backward, dy, cache):
    """The gradient passes the activation as if it were the identity."""
    _, _, _, dw2, db2 = backward(dy, cache)
    rows = dy.reshape(-1, dy.shape[-1])  # (N, C)
    x = cache.up.x.reshape(-1, cache.up.x.shape[-1])  # (N, C)
    dhidden = rows @ cache.down.weight.T  # (N, F)
    return (dhidden @ cache.up.weight.T).reshape(cache.up.x.shape), x.T @ dhidden, dhidden.sum(axis=0), dw2, db2


def _w2_from_hidden(backward, dy, cache):
    """dw2 from the hidden layer before the activation."""
    dx, dw1, db1, _, db2 = backward(dy, cache)
    hidden = cache.activation.x if hasattr(cache.activation, "x") else np.ones_like(cache.down.x)
    return dx, dw1, db1, hidden.reshape(-1, hidden.shape[-1]).T @ dy.reshape(-1, dy.shape[-1]), db2


def _first_linear_skipped(backward, dy, cache):
    """dx adds dy, as if there were a residual connection inside."""
    dx, *rest = backward(dy, cache)
    return (dx + dy, *rest)


def _last_position(backward, dy, cache):
    """db1 and db2 count the last position only."""
    kept = np.zeros_like(dy)
    if dy.size:
        kept[(-1,) * (dy.ndim - 1)] = dy[(-1,) * (dy.ndim - 1)]
    partial, (dx, dw1, _, dw2, _) = backward(kept, cache), backward(dy, cache)
    return dx, dw1, partial[2], dw2, partial[4]


def _w1_misread(backward, dy, cache):
    dx, dw1, *rest = backward(dy, cache)
    return (dx, misread(dw1), *rest)


MUTANTS: dict[str, dict[str, Mutant]] = {
    "ffn": {
        "the activation's derivative is missing": _no_activation,
        "dw2 from the hidden layer before the activation": _w2_from_hidden,
        "dx with a residual connection that is not there": _first_linear_skipped,
        "db1 and db2 of the last position only": _last_position,
        "dw1 transposed": _w1_misread,
        "dw1 and dw2 swapped": swapped(1, 3),
        "dx with the wrong sign": negated(0),
        "dy not used": ones_cotangent,
        "db1 scaled by 1.001": scaled(2),
        "one element of dw1 scaled by 1.001": one_element_wrong(1),
    }
}
