"""Cotangents: random ones for a check, or the caller's own in the outputs' shape, dtype and library."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arguments import is_float, to_host

__all__ = ["array_like", "given_cotangents", "random_signs"]


def random_signs(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Magnitudes in [0.5, 1.5) with random signs: no output is as good as uncounted."""
    return rng.uniform(0.5, 1.5, shape) * rng.choice((-1.0, 1.0), shape)


def array_like(numbers: np.ndarray, example: Any) -> Any:
    """Numbers with the dtype and in the library of an example."""
    if isinstance(example, np.ndarray | np.generic):
        return np.asarray(numbers, dtype=example.dtype)
    result = example.copy()
    result.set(np.asarray(numbers, dtype=example.dtype))
    return result


def given_cotangents(cotangent: Any, outputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The caller's cotangent as one array an output; ValueError where the shapes are not the outputs'."""
    given = cotangent if isinstance(cotangent, tuple) else (cotangent,)
    shapes = [tuple(getattr(c, "shape", ())) for c in given]
    if shapes != [tuple(getattr(o, "shape", ())) for o in outputs]:
        raise ValueError(f"the cotangent has shapes {shapes}, the outputs {[tuple(o.shape) for o in outputs]}")
    return tuple(array_like(to_host(c), o) if is_float(o) else None for c, o in zip(given, outputs, strict=True))
