"""How many digits of its answer a backward itself loses: asked before it is called wrong.

`y * (dy - (dy * y).sum())` is right, and rounding where y is 1 leaves nothing of it; `x - x.mean()` of times near 1.7e9
has six digits left. Such a backward is asked again, with inputs and cotangent that differ in their last places, and
with a cache that does. What it then answers otherwise, it does not know, and nobody may call it wrong by so little. A
factor or a term that is wrong stays as wrong as it was.

What rounds within the backward alone is seen in another precision: a float64 backward is asked in float32, and one of
float32 in float64. It is allowed what it then answers otherwise, as long as that is little beside what its outputs and
cotangents could make: a fault of the float32 code alone is no rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from .arguments import Arguments, is_differentiable, is_float, to_host
from .cotangents import array_like
from .form import wrong_form

__all__ = ["Cancellation", "nudged"]

DRAWS = 4  # of inputs and cotangents, and half as many of the cache
MARGIN = 8.0  # times the largest change that was seen
WIDER, GROWS = 64.0, 4.0  # a nudge so many times as large changes what cancels so many times as much, or more
LITTLE = 128.0  # units in the last place, of outputs times cotangents over inputs: rounding within is no more
SMALL = 2.0**-100  # numbers far below are 0 in float32, which is no cancellation
OTHER = {"float32": "float64", "float64": "float32"}
MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)  # odd, one a draw

Answer = Callable[[Sequence[Any], tuple[Any, ...], Callable[[Any], Any]], Mapping[int, Any] | None]


@dataclass
class Cancellation:
    """A backward that is about to be accused, and what it is asked with.

    outputs:   those of the forward, one for each cotangent
    gradients: the backward's answers, by the position of their input
    answer:    those at other inputs, under other cotangents, with a cache that a function has changed; may raise
    """

    arguments: Arguments
    cotangents: tuple[Any, ...]
    outputs: tuple[Any, ...]
    gradients: Mapping[int, Any]
    answer: Answer
    _numbers: dict[int, np.ndarray] = field(default_factory=dict)

    def lost(self, position: int) -> np.ndarray | None:
        """How far an answer may be off for want of digits, of its input's shape; None where nothing is known."""
        return self._lost.get(position)

    @cached_property
    def _lost(self) -> dict[int, np.ndarray]:
        """The same by position: nothing is asked before anybody wants to know."""
        values = self.arguments.values
        known = [p for p, g in self.gradients.items() if not wrong_form(g, values[p])]
        self._numbers = {p: to_host(self.gradients[p]).astype(np.float64) for p in known}
        lost = {p: np.zeros(numbers.shape) for p, numbers in self._numbers.items()}
        for draw in range(DRAWS):
            _enlarge(lost, self._by_nudges(partial(self._changes_nearby, draw)))
        for draw in range(DRAWS // 2):
            _enlarge(lost, self._by_nudges(partial(self._changes_by_the_cache, draw)))
        dtypes = {str(values[p].dtype) for p in self.arguments.differentiable}
        if len(dtypes) == 1 and (dtype := dtypes.pop()) in OTHER:
            other = self._changes_in(OTHER[dtype])
            _enlarge(lost, {p: np.minimum(change, self._rounding(p)) for p, change in other.items()})
        return lost

    def _by_nudges(self, changes: Callable[[float], dict[int, np.ndarray]]) -> dict[int, np.ndarray]:
        """What nudges say is lost: all that they change where larger ones change more, else no more than rounding can.
        A comparison such as `x == m` turns out otherwise after any nudge; that is no cancellation.
        """
        little = changes(1.0)
        if not any(change.any() for change in little.values()):
            return {}
        much = changes(WIDER)
        return {
            p: MARGIN * np.where(much[p] >= GROWS * change, change, np.minimum(change, self._rounding(p)))
            for p, change in little.items()
            if p in much
        }

    def _changes_nearby(self, draw: int, units: float) -> dict[int, np.ndarray]:
        """What nudges of the inputs and the cotangents change."""
        near = [nudged(value, draw, units) if is_differentiable(value) else value for value in self.arguments.values]
        under = tuple(None if c is None else nudged(c, draw, units) for c in self.cotangents)
        return self._changes(near, under, lambda cache: cache)

    def _changes_by_the_cache(self, draw: int, units: float) -> dict[int, np.ndarray]:
        """What nudges of the cache change."""
        return self._changes(self.arguments.values, self.cotangents, lambda cache: _nudged_within(cache, draw, units))

    def _rounding(self, position: int) -> float:
        """What rounding within a backward can make of a gradient, where nothing larger cancels than its outputs."""
        dtype = self.arguments.values[position].dtype
        known = isinstance(dtype, np.dtype) and dtype.kind == "f"
        return LITTLE * float(np.finfo(dtype).eps) * self._unit(position) if known else 0.0

    def _unit(self, position: int) -> float:
        """A size of gradients by their units: outputs times cotangents, over the input."""
        value = np.abs(to_host(self.arguments.values[position]).astype(np.float64))
        largest = float(value[np.isfinite(value)].max(initial=0.0))
        with np.errstate(all="ignore"):
            products = [
                float(np.abs(to_host(c).astype(np.float64) * to_host(o).astype(np.float64)).max(initial=0.0))
                for c, o in zip(self.cotangents, self.outputs, strict=True)
                if c is not None
            ]
            unit = max(products, default=0.0) / largest if largest else 0.0
        return unit if np.isfinite(unit) else 0.0

    def _changes_in(self, dtype: str) -> dict[int, np.ndarray]:
        """What the backward answers otherwise in another precision; nothing of what is too small for both."""
        values = [value.astype(dtype) if is_differentiable(value) else value for value in self.arguments.values]
        cotangents = tuple(None if c is None else c.astype(dtype) for c in self.cotangents)
        changes = self._changes(values, cotangents, lambda cache: cache)
        sizes = {p: np.maximum(np.abs(self._numbers[p]), change) for p, change in changes.items()}
        return {p: np.where(sizes[p] < SMALL, 0.0, change) for p, change in changes.items()}

    def _changes(
        self, values: Sequence[Any], cotangents: tuple[Any, ...], bend: Callable[[Any], Any]
    ) -> dict[int, np.ndarray]:
        """By how much the backward answers otherwise, by position; nothing of what it does not answer."""
        try:
            with np.errstate(all="ignore"):
                gradients = self.answer(values, cotangents, bend) or {}
                found = {p: to_host(gradients[p]).astype(np.float64) for p in self._numbers}
        except Exception:  # of whatever kind: these are not the caller's inputs
            return {}
        return {
            p: np.abs(again - self._numbers[p])
            for p, again in found.items()
            if again.shape == self._numbers[p].shape and np.isfinite(again).all()
        }


def _enlarge(moved: dict[int, np.ndarray], changes: Mapping[int, np.ndarray]) -> None:
    for position, change in changes.items():
        moved[position] = np.maximum(moved[position], change)


def nudged(array: Any, draw: int, units: float = 1.0) -> Any:
    """An array whose numbers are so many units in the last place larger or smaller. Equal numbers move alike, wherever
    they stand: a maximum stays equal to the element that it is.
    """
    numbers = np.asarray(to_host(array))
    if numbers.dtype.kind != "f":
        return array
    bits = np.ascontiguousarray(numbers, dtype=np.float64).view(np.uint64)
    with np.errstate(over="ignore"):
        mixed = (bits ^ (bits >> np.uint64(29))) * np.uint64(MULTIPLIERS[draw % len(MULTIPLIERS)])
    up = (mixed >> np.uint64(63)).astype(bool).reshape(numbers.shape)
    step = units * float(np.finfo(numbers.dtype).eps)
    with np.errstate(all="ignore"):
        return array_like(numbers * np.where(up, 1 + step, 1 - step).astype(numbers.dtype), array)


def _nudged_within(cache: Any, draw: int, units: float) -> Any:
    """The same of every floating-point number in tuples, lists, dicts and dataclasses; what else there is, stays."""
    if is_float(cache):
        return nudged(cache, draw, units)
    if isinstance(cache, float):
        return float(nudged(np.float64(cache), draw, units))
    if isinstance(cache, tuple) and hasattr(cache, "_fields"):
        return type(cache)(*(_nudged_within(item, draw, units) for item in cache))
    if type(cache) in (tuple, list):
        return type(cache)(_nudged_within(item, draw, units) for item in cache)
    if type(cache) is dict:
        return {name: _nudged_within(item, draw, units) for name, item in cache.items()}
    if is_dataclass(cache) and not isinstance(cache, type):
        return replace(cache, **{f.name: _nudged_within(getattr(cache, f.name), draw, units) for f in fields(cache)})
    return cache
