"""The goal metric, such as exact match, against the number of distinct training problems.

That is the sample efficiency of formats (Lee et al. 2023).
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..tasks.metrics import EXACT_MATCH, Goal
from .figure import blank_figure, clean_axes, count_axis, legend_below, line_look, put_title, share_axis
from .series import Series, title_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABEL_WIDTH = 0.08  # of the horizontal axis: a number with a little room around it


def accuracy_by_train_size(series: Sequence[Series], title: str = "", goal: Goal = EXACT_MATCH) -> "Figure":
    """A dot for each run, and a line through the medians of each format.

    A curve of a series is one run: its `x` (1,) the number of training problems, its `y` (1,) the goal metric.
    """
    figure = blank_figure(6.4, 3.6)
    axes = figure.subplots()
    for index, group in enumerate(series):
        look = line_look(index)
        sizes, _, medians, _ = group.spread()
        axes.plot(sizes, medians, label=group.label, linewidth=1.6, clip_on=False, markevery=[], **look)
        for run in group.curves:
            axes.plot(run.x, run.y, clip_on=False, **(look | {"linestyle": ""}))
    clean_axes(axes)
    if goal.share:
        share_axis(axes)
    axes.set_xscale("log")
    marks = sorted({float(run.x[0]) for group in series for run in group.curves})
    axes.set_xticks(apart(marks))
    axes.set_xticks([], minor=True)
    count_axis(axes.xaxis)
    axes.set_xlabel("distinct training problems")
    put_title(axes, title or title_of(series, f"{goal.title} on problems never seen"))
    legend_below(figure, axes)
    return figure


def apart(sizes: Sequence[float]) -> list[float]:
    """Those of the rising sizes that stand far enough apart to be written side by side, the ends in any case."""
    nearest = math.log(sizes[-1] / sizes[0]) * LABEL_WIDTH
    kept = [sizes[0]]
    for size in sizes[1:]:
        if math.log(size / kept[-1]) >= nearest and (size == sizes[-1] or math.log(sizes[-1] / size) >= nearest):
            kept.append(size)
    return kept
