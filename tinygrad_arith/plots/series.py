"""What several runs are drawn as: a series for each group of runs that differ in their seed only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .figure import LINES

STYLES = ("-", "--", "-.", ":")  # as many as have no common factor with the colours: 28 looks
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MARKED = 30  # points of a line up to which each is marked; of more, some
FEW_MARKS = 8  # on a line of more points
BAND_OPACITY = 0.18


class Curve(NamedTuple):
    """What one run measured: y (n,) at x (n,)."""

    x: np.ndarray
    y: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], x: str, y: str) -> "Curve":
        """One field of rows of a `metrics.jsonl` against another."""
        return cls(*(np.array([row[field] for row in rows], dtype=np.float64) for field in (x, y)))


@dataclass(frozen=True)
class Series:
    """The curves of runs that differ in their seed only, under one name.

    seeds: how many seeds the runs have, where that is not the number of curves
    """

    label: str
    curves: Sequence[Curve]
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


def line_look(index: int, points: int = 0) -> dict[str, Any]:
    """Colour, style and marker of the line number `index`; of the first 28, no two are alike in colour and style.

    Of a line of many `points` only some get the marker, and not those of other lines.
    """
    look: dict[str, Any] = {
        "color": LINES[index % len(LINES)],
        "linestyle": STYLES[index % len(STYLES)],
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 3.5,
    }
    if points > MARKED:
        distance = points // FEW_MARKS
        look["markevery"] = (index * max(1, distance // len(MARKERS)) % distance, distance)
    return look


def draw_group(axes: Any, group: Series, index: int, clipped: bool) -> None:
    """The median as a line, the range of several runs as a band behind it; nothing of runs that were never evaluated.

    `clipped` cuts the line off at the frame: one at 100 % is better drawn in full, a loss of 0 on a logarithmic scale
    cannot be.
    """
    x, low, median, high = group.spread()
    look = line_look(index, len(x))
    if len(group.curves) > 1:
        axes.fill_between(x, low, high, color=look["color"], alpha=BAND_OPACITY, linewidth=0)
    axes.plot(x, median, linewidth=1.6, label=group.title, clip_on=clipped, **look)
