"""`gated_ffn`: where it is checked, and wrong backwards.

Cache: up and down (those of `linear`: x, weight, has_bias), activation, activated, passed, name.
"""

import numpy as np

from ..case import Case, Cases
from ..mutant import Mutant, changed, negated, one_element_wrong, ones_cotangent, scaled


def _gated_ffn(rng):
    w1, b1 = rng.normal(size=(3, 14)), rng.normal(size=14)
    w2, b2 = rng.normal(size=(7, 3)), rng.normal(size=3)
    x = rng.normal(size=(2, 5, 3))
    return (
        Case("SwiGLU", (x, w1, b1, w2, b2), sizes={"B": 2, "T": 5, "C": 3, "F": 7}),
        Case("without biases", (x, w1, None, w2, None)),
        Case("bias of the hidden layer only", (x, w1, b1, w2, None)),
        Case("tanh GELU", (x, w1, b1, w2, b2), {"activation": "gelu"}),
        Case("exact GELU", (x, w1, b1, w2, b2), {"activation": "gelu-exact"}),
        Case("ReLU", (x, w1, b1, w2, b2), {"activation": "relu"}),
        Case("one row", (x[0, 0], w1, b1, w2, b2)),
        Case("strided view", (rng.normal(size=(3, 10, 2)).T[:, ::-2], w1, b1, w2, b2)),
        Case("empty batch", (x[:0], w1, b1, w2, b2), zero=("w1", "b1", "w2", "b2"), allow=("empty",)),
        Case("another width comes out", (x, w1, b1, rng.normal(size=(7, 4)), rng.normal(size=4))),
    )


CASES: dict[str, Cases] = {"gated_ffn": _gated_ffn}


def _of_hidden(change):
    """A mutant that bends what reaches the gate and what it lets through: dgate and dpassed, by the cache and dy."""

    def mutant(backward, dy, cache):
        rows = dy.reshape(-1, dy.shape[-1])  # (N, C)
        dproduct = (rows @ cache.down.weight.T).reshape(cache.activated.shape)  # (..., F)
        right = np.concatenate(_hidden(backward, dy, cache), axis=-1)  # (..., 2F)
        wrong = np.concatenate(change(dproduct, cache, *_hidden(backward, dy, cache)), axis=-1)  # (..., 2F)
        dx, dw1, *rest = backward(dy, cache)
        off = (wrong - right).reshape(-1, right.shape[-1])  # (N, 2F)
        x = cache.up.x.reshape(-1, cache.up.x.shape[-1])  # (N, C)
        dx = dx + (off @ cache.up.weight.T).reshape(dx.shape)
        if cache.up.has_bias:
            rest = [rest[0] + off.sum(axis=0), *rest[1:]]
        return (dx, dw1 + x.T @ off, *rest)

    return mutant


def _hidden(backward, dy, cache):
    """dgate and dpassed (..., F) each: the gradient of x, where w1 is the identity."""
    size = cache.activated.shape[-1]
    shaped = np.zeros((*cache.activated.shape[:-1], 2 * size))  # (..., 2F)
    dhidden = backward(dy, cache._replace(up=cache.up._replace(x=shaped, weight=np.eye(2 * size))))[0]  # (..., 2F)
    return dhidden[..., :size], dhidden[..., size:]


def _halves_swapped(dw1):
    """Up before gate."""
    size = dw1.shape[1] // 2
    return np.concatenate([dw1[:, size:], dw1[:, :size]], axis=1)


def _w2_from(layer):
    """dw2 from another layer than the product."""

    def mutant(backward, dy, cache):
        gradients = list(backward(dy, cache))
        rows = layer(cache).reshape(-1, cache.down.weight.shape[0])  # (N, F)
        gradients[2 + cache.up.has_bias] = rows.T @ dy.reshape(-1, dy.shape[-1])  # (F, C)
        return tuple(gradients)

    return mutant


MUTANTS: dict[str, dict[str, Mutant]] = {
    "gated_ffn": {
        "the activation's derivative is missing": _of_hidden(
            lambda dproduct, cache, dgate, dpassed: (dproduct * cache.passed, dpassed)
        ),
        "the gate's gradient without what it lets through": _of_hidden(
            lambda dproduct, cache, dgate, dpassed: (dproduct, dpassed)
        ),
        "what the gate lets through counts as the gate": _of_hidden(
            lambda dproduct, cache, dgate, dpassed: (dgate, dproduct * cache.passed)
        ),
        "no gradient through the gate": _of_hidden(
            lambda dproduct, cache, dgate, dpassed: (np.zeros_like(dgate), dpassed)
        ),
        "gate and up swapped in dw1": changed(1, _halves_swapped),
        "dw2 from the activated gate": _w2_from(lambda cache: cache.activated),
        "dw2 from what the gate lets through": _w2_from(lambda cache: cache.passed),
        "the sign of dx": negated(),
        "dw1 too large by a thousandth": scaled(1),
        "one element of dw1": one_element_wrong(1),
        "dy is not used": ones_cotangent,
    }
}
