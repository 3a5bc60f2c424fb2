"""Exact match against the number of distinct training problems: the sample efficiency of formats (Lee et al. 2023)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .figure import blank_figure, clean_axes, count_axis, legend_below, line_look, share_axis
from .series import Series, title_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def accuracy_by_train_size(series: Sequence[Series], title: str = "") -> "Figure":
    """A dot for each run, and a line through the medians of each format.

    A curve of a series is one run: its `x` (1,) the number of training problems, its `y` (1,) the exact match.
    """
    figure = blank_figure(6.4, 3.6)
    axes = figure.subplots()
    for index, group in enumerate(series):
        look = line_look(index)
        sizes, _, medians, _ = group.spread()
        axes.plot(sizes, medians, label=group.label, linewidth=1.6, clip_on=False, **look)
        for run in group.curves:
            axes.plot(run.x, run.y, color=look["color"], marker="o", markersize=4, linestyle="", clip_on=False)
    clean_axes(axes)
    share_axis(axes)
    axes.set_xscale("log")
    marks = sorted({float(run.x[0]) for group in series for run in group.curves})
    axes.set_xticks(apart(marks))
    axes.set_xticks([], minor=True)
    count_axis(axes.xaxis)
    axes.set_xlabel("distinct training problems")
    axes.set_title(title or title_of(series, "exact match on problems never seen"), fontsize=11, loc="left")
    legend_below(figure, axes)
    return figure


def apart(sizes: Sequence[float], factor: float = 1.25) -> list[float]:
    """Those of the rising sizes that stand far enough from the one before to be written beside it."""
    kept: list[float] = []
    for size in sizes:
        if not kept or size >= factor * kept[-1]:
            kept.append(size)
    return kept
