"""A backward is linear in the cotangent: b(k dy) = k b(dy), b(dy + dy') = b(dy) + b(dy').

The differences say what the gradient is under one cotangent, of magnitudes near 1. A backward that clips dy at 2, or
ignores what is smaller than 0.4, agrees with them. Here it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .cotangents import array_like

__all__ = ["not_linear"]


@dataclass(frozen=True)
class _Precision:
    """How closely a dtype is linear, and over which range.

    exponents: of 2; multiples by powers of two are exact, but for over- and underflow
    spread:    magnitudes of the second cotangent, from 10^-spread to 10^spread
    relative, floor: the allowed error, of each entry and of the largest one of all gradients
    """

    exponents: tuple[int, ...]
    spread: float
    relative: float
    floor: float


_PRECISIONS = {  # the least range comes last
    "float64": _Precision((-40, 40), 3.0, 1e-5, 1e-9),
    "float32": _Precision((-20, 20), 1.5, 1e-2, 1e-3),
    "bfloat16": _Precision((-20, 20), 1.0, 0.1, 0.1),
    "float16": _Precision((-3, 3), 0.5, 0.1, 0.1),
}
MARGIN = 0.5  # of the range of exponents: what a backward computes on the way may be larger than its gradient

Gradients = Mapping[str, np.ndarray]
Lost = Callable[[tuple[Any, ...], Gradients], Gradients]


def not_linear(
    gradients: Callable[[Any], Gradients | None],
    base: Gradients,
    cotangents: tuple[Any, ...],
    dtypes: Collection[Any],
    seed: int,
    lost: Lost | None = None,
) -> str | None:
    """What shows that a backward is not linear; None if nothing does.

    gradients:  the gradients by name under a tuple of cotangents (None where an output has none); None where the
                backward does not return them
    base:       those under the cotangents of the check
    cotangents: these
    dtypes:     of the gradients, which may be less precise than the cotangents, or more
    lost:       what the backward itself loses of its gradients under some cotangents (see `cancellation.py`);
                None where it is not known
    """
    names = {_name(dtype) for dtype in (*dtypes, *(c.dtype for c in cotangents if c is not None))}
    precision, largest = _precision(names), _largest(names)
    if not _fits(base, 1.0, largest):
        return None
    factors = {"-1": -1.0} | {f"2^{exponent}": 2.0**exponent for exponent in precision.exponents}
    for name, factor in factors.items():
        if not _fits(base, factor, largest):
            continue
        multiple = tuple(None if c is None else c * c.dtype.type(factor) for c in cotangents)
        due = {name: factor * gradient for name, gradient in base.items()}
        said = _difference(gradients, multiple, due, due, precision, partial(_sum_of, lost, [(multiple, None)]))
        if said:
            return f"the backward is not linear in dy: for dy times {name} {said} (does it clip or drop some of dy?)"
    second = _second(cotangents, precision, seed)
    others = gradients(second)
    total = tuple(None if c is None else c + d for c, d in zip(cotangents, second, strict=True))
    if others is None:
        return None
    due = {name: gradient + others[name] for name, gradient in base.items()}
    sizes = {name: np.abs(gradient) + np.abs(others[name]) for name, gradient in base.items()}
    summed = partial(_sum_of, lost, [(total, None), (second, others), (cotangents, base)])
    said = _difference(gradients, total, due, sizes, precision, summed)
    return f"the backward is not linear in dy: for the sum of two cotangents {said}" if said else None


def _precision(names: Collection[str]) -> _Precision:
    """That of the least precise dtype."""
    return next(precision for name, precision in reversed(_PRECISIONS.items()) if name in names or name == "float64")


def _name(dtype: Any) -> str:
    return "bfloat16" if "bfloat16" in str(dtype) else str(dtype.newbyteorder("=").name)


def _largest(names: Collection[str]) -> float:
    """How large a gradient may be, well inside the range of all dtypes; 1 over that is how small."""
    exponents = {"float16": 15, "float32": 127, "bfloat16": 127}
    return 2.0 ** (MARGIN * min(exponents.get(name, 1023) for name in names))


def _fits(base: Gradients, factor: float, largest: float) -> bool:
    """Do the scaled gradients stay between the smallest and the largest size?"""
    sizes = [size for gradient in base.values() if (size := float(np.abs(gradient).max(initial=0.0))) > 0]
    return all(1 / largest < size * abs(factor) < largest for size in sizes)


def _second(cotangents: tuple[Any, ...], precision: _Precision, seed: int) -> tuple[Any, ...]:
    """Cotangents of many magnitudes."""
    rng = np.random.default_rng([seed, 1])

    def drawn(cotangent: Any) -> Any:
        size = 10.0 ** rng.uniform(-precision.spread, precision.spread, cotangent.shape)
        return array_like(size * rng.choice((-1.0, 1.0), cotangent.shape), cotangent)

    return tuple(None if c is None else drawn(c) for c in cotangents)


def _difference(
    gradients: Callable[[Any], Gradients | None],
    cotangents: tuple[Any, ...],
    due: Gradients,
    sizes: Gradients,
    precision: _Precision,
    lost: Callable[[Gradients], Gradients],
) -> str:
    """Where a gradient under these cotangents is not what is due, in words; nothing where all are."""
    found = gradients(cotangents)
    if found is None:
        return "it returns no gradients"
    largest = max(float(np.abs(size).max(initial=0.0)) for size in sizes.values())  # what cancels may come from any
    digits: Gradients | None = None
    for name, expected in due.items():
        allowed = precision.relative * np.abs(sizes[name]) + precision.floor * largest
        off = _beyond(found[name], expected, allowed)
        if off.any():
            digits = digits or lost(found)
            off = _beyond(found[name], expected, allowed + digits[name])
        if off.any():
            index = tuple(int(i) for i in np.argwhere(off)[0])
            where = f"{name}{list(index)}" if index else name
            return f"the gradient of {where} is {found[name][index]:.8g}, where {expected[index]:.8g} is due"
    return ""


def _beyond(found: np.ndarray, expected: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Which entries are off by more than is allowed; those that are NaN are."""
    with np.errstate(invalid="ignore"):
        return np.asarray(~(np.abs(found - expected) <= allowed))


def _sum_of(lost: Lost | None, terms: Sequence[tuple[Any, Gradients | None]], found: Gradients) -> Gradients:
    """What a backward loses of several gradients, each under its cotangents; None among them is what was found."""
    if lost is None:
        return {name: np.zeros(np.shape(gradient)) for name, gradient in found.items()}
    parts = [lost(cotangents, found if gradients is None else gradients) for cotangents, gradients in terms]
    return {name: np.add.reduce([part[name] for part in parts]) for name in found}
