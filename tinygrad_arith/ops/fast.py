"""What the fast implementations of `cpu/` and `cuda/` have in common: the same lines, whatever the device.

Their conditions, where their gradients go, what their forwards save, and a backward that needs no library of a device.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module
from .registry import Destination

# Conditions, as `Implementation.accepts`


def always(**arguments) -> bool:
    """No condition."""
    return True


def not_empty(**arguments) -> bool:
    """No array without elements."""
    return all(value.size > 0 for value in arguments.values() if hasattr(value, "shape"))


def basic_index(x, index) -> bool:
    """Whole numbers, slices, None and Ellipsis only, which NumPy calls basic: no element is taken twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, slice) or _is_whole(part) for part in parts)


def _is_whole(part: Any) -> bool:
    """A number; True and False are masks to NumPy."""
    return isinstance(part, int | np.integer) and not isinstance(part, bool)


# Where gradients go


def destinations(into: Any, likes: Iterable[Any], new: Callable[[Any], Any]) -> list[Destination]:
    """For each gradient that is to be made: where it goes, and whether it is added to what is there.

    into:  as `Implementation.backward` gets it, without the entries of other gradients
    likes: one for each gradient: what `new` makes an array from, if nothing is offered
    """
    likes = tuple(likes)
    return [
        Destination(new(like), False) if offered is None else offered
        for offered, like in zip(into or (None,) * len(likes), likes, strict=True)
    ]


class FfnGradients(NamedTuple):
    """Where the gradients of a feed-forward network's parameters go; None for a bias that there is not."""

    dw1: Destination
    db1: Destination | None
    dw2: Destination
    db2: Destination | None

    def arrays(self) -> tuple[Any, ...]:
        """The gradients that there are, in their order."""
        return tuple(place.array for place in self if place is not None)


def ffn_gradients(into: Any, cache: Any, new: Callable[[Any], Any]) -> FfnGradients:
    """Where the gradients go, by a cache with w1, w2 and `biases`; `into` and `new` as in `destinations`."""
    likes = {"dw1": cache.w1, "db1": cache.w1[0], "dw2": cache.w2, "db2": cache.w2[0]}  # w1[0] is shaped as the bias
    there = {"dw1": True, "db1": cache.biases[0], "dw2": True, "db2": cache.biases[1]}
    names = [name for name in likes if there[name]]
    places = destinations(into and into[1:], [likes[name] for name in names], new)
    return FfnGradients(**dict.fromkeys(likes) | dict(zip(names, places, strict=True)))


# What forwards save


class LayerNormInputCache(NamedTuple):
    """Saved: two numbers a row, float32; the input by reference, normalised again in the backward."""

    x: Any  # (N, C)
    mean: Any  # (N,)
    rstd: Any  # (N,)
    weight: Any  # (C,)


class RMSNormInputCache(NamedTuple):
    """Saved: one number a row, float32; the input by reference, normalised again in the backward."""

    x: Any  # (N, C)
    rrms: Any  # (N,)
    weight: Any  # (C,)


class FusedFfnCache(NamedTuple):
    """Saved: the hidden layer once (relu) or twice (gelu: activation and slope); x and the weights by reference."""

    x: Any  # (..., C)
    w1: Any  # (C, F)
    w2: Any  # (F, D)
    activated: Any  # (N, F)
    slope: Any  # (N, F) or None
    biases: tuple[bool, bool]  # whether there are b1 and b2


class FusedGatedFfnCache(NamedTuple):
    """Saved: gate and up side by side, and activation(gate) times up; x and the weights by reference."""

    x: Any  # (..., C)
    w1: Any  # (C, 2F)
    w2: Any  # (F, D)
    hidden: Any  # (N, 2F)
    product: Any  # (N, F)
    biases: tuple[bool, bool]  # whether there are b1 and b2


# A backward


def assigned_index_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.indexing`. With a `basic_index` nothing is taken twice: a gradient is put in its place, not added."""
    dx = array_module(dy).zeros(cache.shape, dtype=dy.dtype)  # x's shape
    dx[cache.index] = dy
    return (dx,)
