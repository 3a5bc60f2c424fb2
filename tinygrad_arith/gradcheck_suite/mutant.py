"""What a mutant is, `mutant(backward, dy, cache) -> gradients`, and what mutants are made of.

`backward` is the true one, of which most bend a step; caches are read by the names of their fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Mutant = Callable[[Callable, Any, Any], Any]


def as_tuple(gradients: Any) -> tuple[Any, ...]:
    """The gradients as a tuple, also where there is only one."""
    return tuple(gradients) if isinstance(gradients, tuple | list) else (gradients,)


def changed(position: int, change: Callable[[Any], Any]) -> Mutant:
    """The true gradients, but the one at `position` is changed."""

    def mutant(backward, dy, cache):
        gradients = list(as_tuple(backward(dy, cache)))
        gradients[position] = change(gradients[position])
        return tuple(gradients) if len(gradients) > 1 else gradients[0]

    return mutant


def negated(position: int = 0) -> Mutant:
    """One gradient with the wrong sign."""
    return changed(position, lambda gradient: -gradient)


def scaled(position: int = 0, factor: float = 1.001) -> Mutant:
    """One gradient a little too large."""
    return changed(position, lambda gradient: gradient * gradient.dtype.type(factor))


def zeroed(position: int = 0) -> Mutant:
    """One gradient forgotten."""
    return changed(position, np.zeros_like)


def ones_cotangent(backward, dy, cache):
    """The cotangent is never looked at."""
    return backward(dy * 0 + 1, cache)


def swapped(first: int, second: int) -> Mutant:
    """Two gradients in the wrong order."""

    def mutant(backward, dy, cache):
        gradients = list(as_tuple(backward(dy, cache)))
        gradients[first], gradients[second] = gradients[second], gradients[first]
        return tuple(gradients)

    return mutant


def one_element_wrong(position: int = 0, factor: float = 1.001) -> Mutant:
    """A single element a little too large: the smallest that is above a ten-thousandth of the largest."""

    def change(gradient):
        sizes = np.abs(np.ravel(gradient))
        wrong = np.ones(sizes.shape, dtype=gradient.dtype)
        if sizes.any():
            wrong[np.argmin(np.where(sizes > 1e-4 * sizes.max(), sizes, np.inf))] = factor
        return np.asarray(gradient * wrong.reshape(np.shape(gradient)))

    return changed(position, change)


def misread(array: Any, axes: tuple[int, ...] | None = None) -> Any:
    """The numbers of the transposed array read into the array's own shape: a reshape where a transposition was due."""
    return array.transpose(axes).reshape(array.shape)


def with_cache(**changes: Callable[[Any], Any]) -> Mutant:
    """The true backward on a cache with some of its fields changed: `with_cache(rstd=lambda rstd: rstd * rstd)`."""

    def mutant(backward, dy, cache):
        return backward(dy, cache._replace(**{name: change(getattr(cache, name)) for name, change in changes.items()}))

    return mutant


ENDINGS: dict[str, Mutant] = {  # what can go wrong with any one gradient
    "wrong sign": negated(),
    "dy not used": ones_cotangent,
    "scaled by 1.001": scaled(),
    "one element scaled by 1.001": one_element_wrong(),
}
