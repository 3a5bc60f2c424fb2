"""Names for factors: 0.5773503 is 1/sqrt(HS) where HS = 3; one number a row may be an input, or exp of the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

import numpy as np

__all__ = ["name_factor", "name_pattern"]

FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "{}": lambda v: v,
    "1/{}": lambda v: 1 / v,
    "{}^2": lambda v: v * v,
    "1/{}^2": lambda v: 1 / (v * v),
    "sqrt({})": np.sqrt,
    "1/sqrt({})": lambda v: 1 / np.sqrt(v),
    "exp({})": np.exp,
    "exp(-{})": lambda v: np.exp(-v),
}


def name_factor(factor: float, sizes: Mapping[str, int], closeness: float = 1e-5) -> str:
    """A factor with its likely origin: "0.5773503 = 1/sqrt(HS), HS = 3"; the bare number where none is known. The
    simplest explanation only: a small number, which may be a size, or else one function of sizes.
    """
    sign, size = ("-" if factor < 0 else ""), abs(factor)

    def first(known: Iterator[tuple[float, str]]) -> list[str]:
        return [f"{sign}{text}" for value, text in known if abs(value / size - 1) <= closeness][:1]

    named = {name: count for name, count in sizes.items() if name.isidentifier()}
    small = first(_small_numbers())
    matches = small + first(_sizes_themselves(sizes))
    if len(matches) == len(small):  # what only looks like one size of many says little beside a small number
        matches += first(_functions_of_sizes(named if small else sizes))
    said = f"{factor:.7g}"
    if len(matches) > 1 and matches[1].startswith(f"{matches[0]},"):
        matches = matches[1:]
    if matches and matches[-1].startswith(f"{said}, {said} is "):
        return matches[-1].replace(f"{said} is ", "", 1)
    matches = [text for text in matches if text != said]
    return said + (f" = {' or '.join(matches)}" if matches else "")


def _small_numbers() -> Iterator[tuple[float, str]]:
    for number in (2, 3, 4):
        yield from ((number, str(number)), (1 / number, f"1/{number}"))


def _sizes_themselves(sizes: Mapping[str, int]) -> Iterator[tuple[float, str]]:
    for size in _named(sizes):
        yield from ((size.count, f"{size.short}{size.said}"), (1 / size.count, f"1/{size.short}{size.said}"))


def _functions_of_sizes(sizes: Mapping[str, int]) -> Iterator[tuple[float, str]]:
    """Factors that slips produce: sizes with their roots, squares, products and quotients, the simplest first."""
    named = _named(sizes)
    for size in named:
        yield from ((sqrt(size.count), f"sqrt({size.short}){size.said}"),)
        yield from ((1 / sqrt(size.count), f"1/sqrt({size.short}){size.said}"),)
    for first, second in combinations(named, 2):
        n, m, said = first.count, second.count, first.said + second.said
        product, quotient = f"{first.short}*{second.short}", f"{first.short}/{second.short}"
        yield from ((n * m, f"{product}{said}"), (1 / (n * m), f"1/({product}){said}"))
        yield from ((n / m, f"{quotient}{said}"), (m / n, f"{second.short}/{first.short}{said}"))
    for size in named:
        n, said = size.count, size.said
        yield from ((n * n, f"{size.short}^2{said}"), (1 / (n * n), f"1/{size.short}^2{said}"))
        yield from (((n - 1) / n, f"({size.short} - 1)/{size.short}{said}"),)
        yield from ((n / (n - 1), f"{size.short}/({size.short} - 1){said}"),)


def _named(sizes: Mapping[str, int]) -> list[_Size]:
    return [_Size(name, size) for name, size in sizes.items() if size > 1]


def name_pattern(
    factor: np.ndarray, counts: np.ndarray, known: Mapping[str, np.ndarray], along: tuple[int, ...], closeness: float
) -> str:
    """Where a factor comes from, if it is a function of a known array: "; it equals 1/weight"; or nothing.

    `factor` has size 1 along the axes of `along`, where a known array may have size 1 or be without the axis; only
    the entries marked in `counts` (same shape) are compared.
    """
    shapes = factor.shape, tuple(size for axis, size in enumerate(factor.shape) if axis not in along)
    for name, value in known.items():
        if value.shape not in shapes:
            continue
        for text, function in FUNCTIONS.items():
            with np.errstate(all="ignore"):
                candidate = function(value.astype(np.float64)).reshape(factor.shape)
                off = np.abs(factor / candidate - 1)[counts]
            if (off <= closeness).all():
                return f"; it equals {text.format(name)}"
    return ""


@dataclass(frozen=True)
class _Size:
    """A size under a name: "HS", or words like "the size of axis 3 of q" where nobody gave it a name."""

    name: str
    count: int

    @property
    def short(self) -> str:
        return self.name if self.name.isidentifier() else str(self.count)

    @property
    def said(self) -> str:
        return f", {self.name} = {self.count}" if self.name.isidentifier() else f", {self.count} is {self.name}"
