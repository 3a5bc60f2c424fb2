"""Inputs of less than float64 are rounded numbers: how far the gradients move if they are rounded otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .arguments import Arguments, to_host
from .form import wrong_form

__all__ = ["moved_by_rounding"]

NUDGES, MARGIN = 3, 2.0  # how often inputs are moved by their rounding, and the margin on what that does


def moved_by_rounding(
    arguments: Arguments,
    gradients: Mapping[int, Any],
    gradients_at: Callable[[Sequence[Any]], Mapping[int, Any] | None],
    seed: int,
) -> dict[int, np.ndarray]:
    """How far the gradients move, by position, if inputs of less than float64 move by one unit in their last place.

    A float32 layernorm of inputs near 1e4 knows their spread to three digits, and so its gradient: that is no fault of
    the backward. Nothing is moved where all inputs are float64.
    """
    values = arguments.values
    lower = [p for p in arguments.differentiable if values[p].dtype.itemsize < 8]
    if not lower or not all(isinstance(values[p], np.ndarray) and values[p].dtype.kind == "f" for p in lower):
        return {}
    rng, moved = np.random.default_rng([seed, 2]), {p: np.zeros(values[p].shape) for p in lower}
    for _ in range(NUDGES):
        nudged = list(values)
        for p in lower:
            towards = np.where(rng.random(values[p].shape) < 0.5, np.inf, -np.inf).astype(values[p].dtype)
            nudged[p] = np.where(np.isfinite(values[p]), np.nextafter(values[p], towards), values[p])
        with np.errstate(all="ignore"):
            again = gradients_at(nudged)
        for p in lower:
            if again is None or any(wrong_form(g[p], values[p]) for g in (again, gradients)):
                continue
            change = np.abs(to_host(again[p]).astype(np.float64) - to_host(gradients[p]).astype(np.float64))
            moved[p] = np.maximum(moved[p], MARGIN * change)
    return moved
