"""All that is known about one wrong gradient (`Evidence`), and what it resembles (`Finding`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Evidence", "Finding"]

MUCH_NEARER = 0.1


@dataclass(frozen=True)
class Finding:
    """One resemblance: `kind` for programs ("sign", "factor", "mutant", ...), `text` for people ("has the wrong
    sign").
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Evidence:
    """All that is known about one wrong gradient. Arrays are float64.

    `analytic` comes from the backward and may have a wrong shape; `numeric` is the true one, exactly zero where it is
    lost in rounding; `wrong` marks its wrong elements. `sampled` says that these are but some elements of a large
    input, as a vector: its axis means nothing; `partial`, that they are those that are decided and not at kinks.
    `jacobian` (m, n) and `cotangent` (m,) belong to the outputs, flattened in order, of `output_shapes`. `others` are
    the true gradients of the other inputs, `mutants` this input's gradient under each named mutant, `inputs` and
    `outputs` the values, `sizes` names for sizes that may turn up in a factor. `closeness` is the relative error at
    which two gradients count as equal.
    """

    name: str
    analytic: np.ndarray
    numeric: np.ndarray
    wrong: np.ndarray
    cotangent: np.ndarray
    sampled: bool = False
    partial: bool = False
    jacobian: np.ndarray | None = None
    output_shapes: tuple[tuple[int, ...], ...] = ()
    others: Mapping[str, np.ndarray] = field(default_factory=dict)
    mutants: Mapping[str, np.ndarray] = field(default_factory=dict)
    inputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    outputs: tuple[np.ndarray, ...] = ()
    closeness: float = 1e-6

    @property
    def others_in_words(self) -> str:
        """The elements that are not wrong."""
        return "all others that are decided" if self.partial else "all others"

    def close(self, a: np.ndarray, b: np.ndarray) -> bool:
        """Are two arrays of one shape equal, up to `closeness` of the largest entry of `b`?"""
        scale = np.abs(b).max(initial=0.0)
        return a.shape == b.shape and scale > 0 and bool(np.abs(a - b).max(initial=0.0) <= self.closeness * scale)

    def explains(self, candidate: np.ndarray, analytic: np.ndarray, numeric: np.ndarray) -> bool:
        """Is the backward's answer this candidate, and much nearer to it than to the truth?

        Without the second condition every candidate that happens to be the true gradient (a slip that does not matter
        here, a transposition of axes of size 1) would "explain" an error that is smaller than `closeness`.
        """
        if not self.close(analytic, candidate):
            return False
        if analytic.shape != numeric.shape:
            return True
        distance, error = np.abs(analytic - candidate).max(), np.abs(analytic - numeric).max()
        return bool(distance <= MUCH_NEARER * error)

    def is_close(self, candidate: np.ndarray) -> bool:
        """Is the backward's gradient this candidate, and not as well the true one, where it is wrong?"""
        if not self.explains(candidate, self.analytic, self.numeric):
            return False
        if self.wrong.shape != self.analytic.shape or self.analytic.shape != self.numeric.shape:
            return True
        distance = np.abs(self.analytic - candidate)[self.wrong]
        return bool((distance <= MUCH_NEARER * np.abs(self.analytic - self.numeric)[self.wrong]).all())

    def true_gradient(self, cotangent: np.ndarray) -> np.ndarray | None:
        """The true gradient for another cotangent (m,), where the Jacobian was kept."""
        return None if self.jacobian is None else (cotangent @ self.jacobian).reshape(self.numeric.shape)
