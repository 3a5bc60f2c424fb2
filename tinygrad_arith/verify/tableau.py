"""Richardson extrapolation of slopes from steps that fall, with the rounding carried along."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .differences import Estimate

__all__ = ["ENOUGH_RUNGS", "Tableau"]

LEVELS = 6  # of the extrapolation: beyond, only rounding is added
ENOUGH_RUNGS = 3  # fewer say nothing about truncation


@dataclass
class Tableau:
    """Richardson extrapolation over the rungs so far (C. Ridders, "Accurate computation of F'(x) and F'(x)F''(x)",
    Advances in Engineering Software 4, 1982, https://doi.org/10.1016/S0141-1195%2882%2980057-0), with the noise
    carried along: the entry with the smallest sum of both errors wins.

    factor: by which the error of a slope falls from one step to the next: RATIO^2 for central differences, RATIO for
            one-sided ones; its powers in the columns after the first
    """

    cotangent: np.ndarray
    factor: float
    best: Estimate | None = None
    _previous: list[tuple[np.ndarray, float]] = field(default_factory=list)  # slopes (m,) and noise, by level
    _differences: list[float] = field(default_factory=list)  # without extrapolation

    @property
    def rows(self) -> int:
        """How many steps it has."""
        return len(self._differences)

    def add(self, slopes: np.ndarray, noise: float, step: float, doubt: float = 0.0) -> None:
        """One more row: slopes (m,) at the next smaller step; `doubt` is added to the error of its entries.

        A slope that the smaller step contradicts was a chance agreement of larger ones, and is given up.
        """
        if self.best is not None:
            apart = abs(float(self.cotangent @ slopes) - self.best.value)
            if apart > self.best.error + 2 * noise:
                self.best = None
        row = [(slopes, noise)]
        for level, (coarser, coarser_noise) in enumerate(self._previous[:LEVELS], start=1):
            weight = self.factor**level
            finer, finer_noise = row[-1]
            row.append(
                (finer + (finer - coarser) / (weight - 1), (weight * finer_noise + coarser_noise) / (weight - 1))
            )
        self._keep_best(row, step, doubt)
        self._previous = row

    def _keep_best(self, row: list[tuple[np.ndarray, float]], step: float, doubt: float) -> None:
        values = [float(self.cotangent @ slopes) for slopes, _ in row]
        self._differences.append(values[0])
        if len(self._differences) < ENOUGH_RUNGS:
            return
        doubt += self._unproved_order()
        for level in range(1, len(row)):
            beside = float(self.cotangent @ self._previous[level - 1][0])
            truncation = max(abs(values[level] - values[level - 1]), abs(values[level] - beside))
            error = truncation + row[level][1] + doubt
            if self.best is None or error < self.best.error:
                self.best = Estimate(values[level], error, row[level][1], step, row[level][0])

    def _unproved_order(self) -> float:
        """A part of the difference between two steps, unless three show that the error falls as it should.

        Two differences may agree by chance where the steps are still too large; the third tells.
        """
        first, second, third = self._differences[-ENOUGH_RUNGS:]
        earlier, last = abs(second - first), abs(third - second)
        if self.factor / 2 <= (earlier / last if last else np.inf) <= 2 * self.factor:
            return 0.0
        return max(last, earlier / self.factor) / 4
