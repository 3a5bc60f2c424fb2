"""Ties between several inputs, as of `max(a, b)` at a = b: the inputs as one vector, whose elements tie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .arguments import Arguments, to_host
from .cotangents import array_like
from .probe import Probe

__all__ = ["in_one_vector", "joint_probe"]


def joint_probe(
    arguments: Arguments,
    positions: Sequence[int],
    outputs_of: Callable[[Sequence[Any]], np.ndarray],
    cotangent: np.ndarray,
    eps: float,
) -> tuple[Probe, dict[int, int]]:
    """A probe of the inputs at these positions as one vector, and where in it each begins.

    outputs_of: the outputs (m,) at other inputs
    """
    values = arguments.float64_copies()
    ends = np.cumsum([int(values[p].size) for p in positions]).tolist()
    starts = [0, *ends[:-1]]
    together = np.concatenate([to_host(values[p]).ravel() for p in positions])

    def outputs() -> np.ndarray:
        for p, start, end in zip(positions, starts, ends, strict=True):
            values[p] = array_like(together[start:end].reshape(values[p].shape), values[p])
        return outputs_of(values)

    name = " and ".join(arguments.names[p] for p in positions)
    return Probe(name, together, outputs, cotangent, eps), dict(zip(positions, starts, strict=True))


def in_one_vector(
    answers: Mapping[int, Mapping[tuple[int, ...], float]], arguments: Arguments, starts: Mapping[int, int]
) -> dict[int, float]:
    """Numbers by position and index of an input, as numbers by their place in the vector."""
    return {
        starts[p] + int(np.ravel_multi_index(index, tuple(arguments.values[p].shape))): answer
        for p, found in answers.items()
        for index, answer in found.items()
    }
