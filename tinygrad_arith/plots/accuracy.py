"""The goal metric of several runs, such as exact match: over training, by operand length, by training problems."""

import math
from collections.abc import Sequence
from typing import Any

from ..tasks.metrics import EXACT_MATCH, Goal
from .figure import LIGHT_GREY, Figure, blank_axes, count_axis, legend_below, put_title, share_axis
from .series import Series, draw_group, line_look

FAR_APART = 20.0  # longest run / shortest run, from which on the axis of steps is logarithmic
LABEL_WIDTH = 0.08  # of the axis of training problems: a number with a little room around it


def accuracy_curves(series: Sequence[Series], x_label: str, goal: Goal = EXACT_MATCH) -> Figure:
    """The goal metric on validation problems against steps or samples, a curve for each run.

    Runs that differ in their seed only look alike.
    """
    figure, axes = goal_axes(goal)
    for index, group in enumerate(series):
        for number, curve in enumerate(group.curves):
            look = line_look(index, len(curve.x))
            look |= {"linewidth": 1.6} if len(group.curves) == 1 else {"linewidth": 1.0, "alpha": 0.75}
            axes.plot(curve.x, curve.y, label=group.title if number == 0 else None, clip_on=False, **look)
    ends = [curve.x[-1] for group in series for curve in group.curves]
    if max(ends) > FAR_APART * min(ends):
        axes.set_xscale("log")
    else:
        axes.set_xlim(0, max(ends))
    count_axis(axes.xaxis)
    return labelled(figure, axes, series, f"{goal.title} on validation problems", x_label)


def accuracy_by_length(series: Sequence[Series], trained: int, fewest: int = 1) -> Figure:
    """A line through the medians of each series and a band from the lowest to the highest seed.

    A curve's `x` are digits of the longer operand, `y` exact match. `trained`: the longest operand in training;
    `fewest`: problems that a length must have for a point, as is said where a length has none.
    """
    figure, axes = goal_axes(EXACT_MATCH)
    curves = [curve for group in series for curve in group.curves]
    longest = max(int(curve.x[-1]) for curve in curves)
    axes.axvspan(0.5, trained + 0.5, color=LIGHT_GREY, alpha=0.6, linewidth=0)
    for index, group in enumerate(series):
        draw_group(axes, group, index, clipped=False)
    axes.set_xlim(0.5, max(longest, trained) + 0.5)
    axes.locator_params(axis="x", integer=True)
    shaded = "shaded: trained on" if trained < longest else "all of them trained on"
    missing = {length for curve in curves for length in range(1, int(curve.x[-1]) + 1) if length not in curve.x}
    note = f"\n(no point at {as_ranges(sorted(missing))}: fewer than {fewest} problems)" if missing else ""
    x_label = f"digits of the longer operand ({shaded}){note}"
    return labelled(figure, axes, series, "exact match by operand length", x_label)


def accuracy_by_train_size(series: Sequence[Series], goal: Goal = EXACT_MATCH) -> Figure:
    """The sample efficiency of formats: a dot for each run, a line through the medians of each.

    After Lee et al. 2023, arXiv 2307.03381.

    A curve of a series is one run: its `x` (1,) the number of distinct training problems, its `y` (1,) the goal metric.
    """
    figure, axes = goal_axes(goal)
    for index, group in enumerate(series):
        look = line_look(index)
        sizes, _, medians, _ = group.spread()
        axes.plot(sizes, medians, label=group.label, linewidth=1.6, clip_on=False, markevery=[], **look)
        for run in group.curves:
            axes.plot(run.x, run.y, clip_on=False, **(look | {"linestyle": ""}))
    axes.set_xscale("log")
    axes.set_xticks(apart(sorted({float(run.x[0]) for group in series for run in group.curves})))
    axes.set_xticks([], minor=True)
    count_axis(axes.xaxis)
    return labelled(figure, axes, series, f"{goal.title} on problems never seen", "distinct training problems")


def goal_axes(goal: Goal) -> tuple[Figure, Any]:
    """An empty sheet, and its axes for the goal metric."""
    figure, axes = blank_axes(6.4, 3.6)
    if goal.share:
        share_axis(axes)
    return figure, axes


def labelled(figure: Figure, axes: Any, series: Sequence[Series], title: str, x_label: str) -> Figure:
    """The figure with its words; the title tells the name of a single series, since that gets no legend."""
    axes.set_xlabel(x_label)
    put_title(axes, title if len(series) > 1 else f"{title}: {series[0].title}")
    legend_below(figure, axes)
    return figure


def as_ranges(numbers: Sequence[int]) -> str:
    """Rising whole numbers in words: `1 to 3, 7`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts)


def apart(sizes: Sequence[float]) -> list[float]:
    """Those of the rising sizes that stand far enough apart to be written side by side, the ends in any case."""
    nearest = math.log(sizes[-1] / sizes[0]) * LABEL_WIDTH
    kept = [sizes[0]]
    for size in sizes[1:]:
        if math.log(size / kept[-1]) >= nearest and (size == sizes[-1] or math.log(sizes[-1] / size) >= nearest):
            kept.append(size)
    return kept
