"""Exact match against the operands' length, with the lengths that were trained on shaded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .figure import GREY, LIGHT_GREY, blank_figure, clean_axes, legend_below, line_look, share_axis
from .series import Series, title_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def accuracy_by_length(series: Sequence[Series], trained: int, title: str = "") -> "Figure":
    """A line through the medians of each series and a band from the lowest to the highest seed.

    A curve's `x` are digits of the longer operand, `y` exact match; `trained`: the longest operand in training.
    """
    figure = blank_figure(6.4, 3.6)
    axes = figure.subplots()
    longest = max(curve.x[-1] for group in series for curve in group.curves)
    axes.axvspan(0.5, trained + 0.5, color=LIGHT_GREY, alpha=0.6, linewidth=0)
    for index, group in enumerate(series):
        look = line_look(index)
        lengths, low, median, high = group.spread()
        axes.plot(lengths, median, label=group.title, linewidth=1.6, marker="o", markersize=3, clip_on=False, **look)
        if len(group.curves) > 1:
            axes.fill_between(lengths, low, high, color=look["color"], alpha=0.18, linewidth=0)
    clean_axes(axes)
    share_axis(axes)
    axes.set_xlim(0.5, max(longest, trained) + 0.5)
    axes.locator_params(axis="x", integer=True)
    words = "trained on" if trained < longest else "all trained on"
    axes.text(0.7, 0.03, words, color=GREY, fontsize=9)
    axes.set_xlabel("digits of the longer operand")
    axes.set_title(title or title_of(series, "exact match by operand length"), fontsize=11, loc="left")
    legend_below(figure, axes)
    return figure
