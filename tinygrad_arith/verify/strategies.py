"""Hypothesis strategies for inputs of operations: shapes, broadcasting, views, dtypes, padding, extreme values.

    @given(recipes(shapes(dimensions=(2, 3)), kinds=EXTREMES))
    def test_softmax_is_finite(recipe):
        assert np.isfinite(softmax(recipe.array())).all()

An array is drawn as a `Recipe`: a failing example prints as the recipe, not as its numbers, and shrinks to few and
small axes, the plain layout, normal numbers and seed 0. Needs Hypothesis (`pip install hypothesis`); this
is why `tinygrad_arith.verify` does not import it for you.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError(
        "tinygrad_arith.verify.strategies needs Hypothesis; install it with: pip install hypothesis"
    ) from error

__all__ = [
    "EXTREMES",
    "KINDS",
    "LAYOUTS",
    "Recipe",
    "broadcasting_shapes",
    "dtypes",
    "in_layout",
    "key_masks",
    "layouts",
    "padding_lengths",
    "recipes",
    "seeds",
    "shapes",
]

LAYOUTS = ("contiguous", "strided", "reversed", "transposed")
"""How an array lies in memory: as made; every second element of its last axis; its first axis backwards; as the
transpose of an array with its axes reversed. Its values are the same in all of them."""

EXTREMES = ("large", "equal", "tiny variance", "far from 0", "zero")
"""Values that overflow, divide by zero or cancel where code is not careful."""

KINDS = ("normal", *EXTREMES, "-inf")
"""All kinds of values; "-inf" has minus infinity in about a third of each row, but never in its first place."""


@dataclass(frozen=True)
class Recipe:
    """How to make an array. `array()` makes it, the same one each time."""

    shape: tuple[int, ...]
    kind: str = "normal"
    layout: str = "contiguous"
    dtype: str = "float64"
    seed: int = 0

    def array(self) -> np.ndarray:
        """The array, with the recipe's shape, dtype and layout."""
        return in_layout(_values(self.kind, self.shape, self.seed).astype(self.dtype), self.layout)

    def contiguous(self) -> np.ndarray:
        """The same numbers, plainly laid out."""
        return replace(self, layout="contiguous").array()


def _values(kind: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Float64 values of one kind."""
    rng = np.random.default_rng([seed, *shape])
    normal = rng.normal(size=shape)
    if kind == "normal":
        return normal
    if kind == "large":
        return 1e4 * normal
    if kind == "equal":
        return np.full(shape, rng.normal())
    if kind == "tiny variance":
        return 1.0 + 1e-7 * normal
    if kind == "far from 0":
        return 1e3 + normal
    if kind == "zero":
        return np.zeros(shape)
    if kind == "-inf":
        hidden = rng.random(shape) < 1 / 3
        hidden[..., :1] = False
        return np.where(hidden, -np.inf, normal)
    raise ValueError(f"no kind of values {kind!r}; there are {', '.join(KINDS)}")


def in_layout(array: np.ndarray, layout: str) -> np.ndarray:
    """The same numbers in another layout in memory. An array without axes has only one."""
    if layout == "contiguous" or array.ndim == 0:
        return array
    if layout == "strided":
        spread = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), dtype=array.dtype)
        spread[..., ::2] = array
        return spread[..., ::2]
    if layout == "reversed":
        return array[::-1].copy()[::-1]
    if layout == "transposed":
        return array.T.copy().T
    raise ValueError(f"no layout {layout!r}; there are {', '.join(LAYOUTS)}")


@st.composite
def shapes(
    draw: Any, dimensions: tuple[int, int] = (1, 3), largest: int = 5, ones: bool = True, empty: bool = False
) -> tuple[int, ...]:
    """Shapes whose axes all differ, so that no two can be mixed up unseen.

    dimensions: the least and the greatest number of axes
    largest:    the largest size of an axis
    ones:       whether axes may also have size 1, any number of them
    empty:      whether the first axis may have size 0
    """
    count = draw(st.integers(*dimensions))
    sizes = draw(st.lists(st.integers(2, largest), min_size=count, max_size=count, unique=True))
    if ones:
        sizes = [1 if draw(st.booleans()) else size for size in sizes]
    if empty and sizes and draw(st.booleans()):
        sizes[0] = 0
    return tuple(sizes)


@st.composite
def broadcasting_shapes(
    draw: Any, dimensions: tuple[int, int] = (1, 3), largest: int = 5
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that broadcast: leading axes may be missing and axes may have size 1, on either side."""
    whole = draw(shapes(dimensions, largest, ones=False))

    def one_side() -> tuple[int, ...]:
        kept = whole[draw(st.integers(0, len(whole))) :]
        return tuple(1 if draw(st.booleans()) else size for size in kept)

    return one_side(), one_side()


def layouts() -> st.SearchStrategy[str]:
    """Names of layouts; shrinks to the contiguous one."""
    return st.sampled_from(LAYOUTS)


def dtypes(names: Sequence[str] = ("float64", "float32")) -> st.SearchStrategy[str]:
    """Names of floating-point dtypes; shrinks to the first."""
    return st.sampled_from(tuple(names))


def seeds() -> st.SearchStrategy[int]:
    """Seeds of the numbers in an array; shrinks to 0."""
    return st.integers(0, 999)


@st.composite
def recipes(
    draw: Any,
    shape: tuple[int, ...] | st.SearchStrategy[tuple[int, ...]],
    *,
    kinds: Sequence[str] = ("normal",),
    layout: str | None = None,
    dtype: str = "float64",
) -> Recipe:
    """Recipes of arrays of a shape, or of shapes that a strategy draws.

    kinds:  of values to draw from; shrinks to the first
    layout: the one to use; default: any
    """
    shape = shape if isinstance(shape, tuple) else draw(shape)
    kind = draw(st.sampled_from(tuple(kinds)))
    return Recipe(shape, kind, draw(layouts()) if layout is None else layout, dtype, draw(seeds()))


def padding_lengths(batch: int, positions: int, shortest: int = 0) -> st.SearchStrategy[np.ndarray]:
    """Lengths (B,) of padded sequences, each from `shortest` to `positions`."""
    lengths = st.lists(st.integers(shortest, positions), min_size=batch, max_size=batch)
    return lengths.map(lambda drawn: np.array(drawn, dtype=np.int64))  # (B,)


def key_masks(batch: int, positions: int) -> st.SearchStrategy[np.ndarray]:
    """Masks (B, T) bool, False where a key is hidden; holes anywhere, rows that see nothing too."""
    size = prod((batch, positions))
    bits = st.lists(st.booleans(), min_size=size, max_size=size)
    return bits.map(lambda drawn: np.array(drawn, dtype=bool).reshape(batch, positions))  # (B, T)
