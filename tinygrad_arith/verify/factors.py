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
    """A factor with its likely origin: "0.5773503 = 1/sqrt(HS), HS = 3"; the bare number where none is known."""
    sign, size = ("-" if factor < 0 else ""), abs(factor)
    matches = [f"{sign}{text}" for value, text in _known_factors(sizes) if abs(value / size - 1) <= closeness]
    return f"{factor:.7g}" + (f" = {' or '.join(matches[:3])}" if matches else "")


def _known_factors(sizes: Mapping[str, int]) -> Iterator[tuple[float, str]]:
    """Factors that slips produce: small numbers, and sizes with their roots, inverses and products."""
    for number in (2, 3, 4):
        yield from ((number, str(number)), (1 / number, f"1/{number}"))
    named = [_Size(name, size) for name, size in sizes.items() if size > 1]
    for size in named:
        n, said = size.count, size.said
        for text, value in ((size.short, n), (f"sqrt({size.short})", sqrt(n)), (f"{size.short}^2", n * n)):
            yield from ((value, f"{text}{said}"), (1 / value, f"1/{text}{said}"))
        text = f"({size.short} - 1)/{size.short}"
        yield from (((n - 1) / n, f"{text}{said}"), (n / (n - 1), f"1/({text}){said}"))
    for first, second in combinations(named, 2):
        n, m, said = first.count, second.count, first.said + second.said
        product, quotient = f"{first.short}*{second.short}", f"{first.short}/{second.short}"
        yield from ((n * m, f"{product}{said}"), (1 / (n * m), f"1/({product}){said}"))
        yield from ((n / m, f"{quotient}{said}"), (m / n, f"1/({quotient}){said}"))


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
