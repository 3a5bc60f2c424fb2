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
    w2: Any  # (F, C)
    activated: Any  # (N, F)
    slope: Any  # (N, F) or None


# A backward


def assigned_index_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.indexing`. With a `basic_index` nothing is taken twice: a gradient is put in its place, not added."""
    dx = array_module(dy).zeros(cache.shape, dtype=dy.dtype)  # x's shape
    dx[cache.index] = dy
    return (dx,)
