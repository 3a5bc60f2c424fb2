"""What several runs are drawn as: a series for each group of runs that differ in their seed only."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Curve:
    """Shares y (n,) at x (n,), of one run."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Series:
    """The curves of runs that differ in their seed only, under one name.

    seeds: how many seeds the runs have, where that is not the number of curves
    """

    label: str
    curves: Sequence[Curve] = field(default_factory=tuple)
    seeds: int | None = None

    @property
    def title(self) -> str:
        """The name, with the number of seeds if there are several."""
        seeds = len(self.curves) if self.seeds is None else self.seeds
        return self.label if seeds == 1 else f"{self.label} ({seeds} seeds)"

    def spread(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """At each x that any curve has: x, the lowest, the median and the highest y, each (n,)."""
        x = np.unique(np.concatenate([curve.x for curve in self.curves]))  # (n,)
        at = [np.concatenate([curve.y[curve.x == place] for curve in self.curves]) for place in x]
        low, median, high = (np.array([summary(y) for y in at]) for summary in (np.min, np.median, np.max))
        return x, low, median, high


def title_of(series: Sequence[Series], title: str) -> str:
    """The title of a picture; that of a single series tells its name, since it gets no legend."""
    return title if len(series) > 1 else f"{title}: {series[0].title}"
