"""`concatenate` (cache: axis, lengths) and `stack` (axis, inputs): where they are checked, and wrong backwards."""

import numpy as np

from ..case import Case, Cases
from ..mutant import Mutant, changed, misread, negated, one_element_wrong, ones_cotangent, scaled


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


CASES: dict[str, Cases] = {"concatenate": _concatenate, "stack": _stack}


def _equal_parts(backward, dy, cache):
    """The lengths in reverse order: right only where they read the same from both sides."""
    gradients = backward(dy, cache._replace(lengths=cache.lengths[::-1]))
    shapes = [gradient.shape for gradient in backward(dy, cache)]
    return tuple(np.resize(gradient, shape) for gradient, shape in zip(gradients, shapes, strict=True))


def _from_the_start(backward, dy, cache):
    """Every input's gradient is read from the start of dy."""
    before = (slice(None),) * cache.axis
    return tuple(dy[(*before, slice(0, length))] for length in cache.lengths)


def _next_input(backward, dy, cache):
    """Each input gets its neighbour's gradient, cut or repeated to its shape."""
    gradients = backward(dy, cache)
    turned = (*gradients[1:], gradients[0])
    return tuple(np.resize(other, own.shape) for other, own in zip(turned, gradients, strict=True))


def _mean_of_all(backward, dy, cache):
    """Every input gets the mean of all gradients."""
    gradients = backward(dy, cache)
    return tuple(np.full_like(gradient, dy.mean()) for gradient in gradients)


def _along_the_first_axis(backward, dy, cache):
    """dy cut along its first axis, whatever the axis was."""
    own = backward(dy, cache)
    moved = dy.reshape(dy.shape[cache.axis], *dy.shape[: cache.axis], *dy.shape[cache.axis + 1 :])
    wrong = backward(moved, cache._replace(axis=0))
    return tuple(np.resize(gradient, like.shape) for gradient, like in zip(wrong, own, strict=True))


_ENDINGS = {
    "the first gradient with the wrong sign": negated(0),
    "the first gradient scaled by 1.001": scaled(0),
    "dy not used": ones_cotangent,
}


MUTANTS: dict[str, dict[str, Mutant]] = {
    "concatenate": {
        "the lengths in reverse order": _equal_parts,
        "all read from the start of dy": _from_the_start,
        "each the gradient of the next": _next_input,
        "cut along the first axis": _along_the_first_axis,
        "the first read with its axes swapped": changed(0, misread),
        "one element scaled by 1.001": one_element_wrong(0),
        **_ENDINGS,
    },
    "stack": {
        "each the gradient of the next": _next_input,
        "the mean of all gradients": _mean_of_all,
        "cut along the first axis": _along_the_first_axis,
        "the first read with its axes swapped": changed(0, misread),
        "one element scaled by 1.001": one_element_wrong(0),
        **_ENDINGS,
    },
}
