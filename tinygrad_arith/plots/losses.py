"""The loss on training batches and on validation problems, both axes logarithmic."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import GREY, blank_figure, clean_axes, count_axis, line_look, put_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN = 2000  # points of a line; of more, evenly spaced ones on the logarithmic axis are drawn


def losses(rows: Sequence[Mapping[str, Any]], title: str = "") -> "Figure":
    """Both losses over training steps; `rows` are those of `metrics.jsonl`."""
    figure = blank_figure(6.4, 3.6)
    axes = figure.subplots()
    draw_losses(axes, rows)
    put_title(axes, title or "loss, nats per counted token")
    return figure


def draw_losses(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """The two lines, with a legend."""
    for index, (name, label) in enumerate((("loss", "training"), ("validation_loss", "validation"))):
        points = np.array([(row["step"], row[name]) for row in rows if row.get(name, 0.0) > 0.0]).reshape(-1, 2)
        points = thinned(points)
        look = line_look(index) | {"marker": ""}  # which would hide the line, where it is noisy
        axes.plot(points[:, 0], points[:, 1], linewidth=1.3, label=label, **look)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(1, max([2, *(row["step"] for row in rows)]))
    clean_axes(axes)
    count_axis(axes.xaxis)
    axes.set_xlabel("training step")
    axes.legend(frameon=False, fontsize=9, labelcolor=GREY)


def thinned(points: np.ndarray) -> np.ndarray:
    """At most about `DRAWN` of the points (n, 2), evenly spaced in the logarithm of their place; all of few."""
    if len(points) <= DRAWN:
        return points
    return points[np.unique(np.geomspace(1, len(points), DRAWN).round().astype(np.int64) - 1)]
