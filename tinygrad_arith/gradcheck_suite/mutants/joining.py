"""Wrong backwards of where (cache: condition, a_shape, b_shape), concatenate (axis, lengths), stack (axis, inputs)."""

import numpy as np

from .common import changed, misread, negated, one_element_wrong, ones_cotangent, scaled


def _both(backward, dy, cache):
    """Each of a and b gets the whole gradient."""
    everywhere = backward(dy, cache._replace(condition=np.ones_like(cache.condition)))
    nowhere = backward(dy, cache._replace(condition=np.zeros_like(cache.condition)))
    return everywhere[0], nowhere[1]


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

MUTANTS = {
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
        **_ENDINGS,
    },
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
