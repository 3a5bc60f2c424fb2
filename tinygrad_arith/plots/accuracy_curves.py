"""The goal metric, such as exact match, over training: one curve a run, against steps or against training samples."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..tasks.metrics import EXACT_MATCH, Goal
from .figure import blank_figure, clean_axes, count_axis, legend_below, line_look, marked_places, put_title, share_axis
from .series import Series, title_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FAR_APART = 20.0  # longest run / shortest run, from which on the horizontal axis is logarithmic


def accuracy_curves(series: Sequence[Series], x_label: str, title: str = "", goal: Goal = EXACT_MATCH) -> "Figure":
    """The goal metric on validation problems against `x_label`; runs that differ in their seed only look alike."""
    figure = blank_figure(6.4, 3.6)
    axes = figure.subplots()
    ends = []
    for index, group in enumerate(series):
        for number, curve in enumerate(group.curves):
            ends.append(curve.x[-1])
            look = line_look(index) | marked_places(index, len(curve.x))
            alone = len(group.curves) == 1
            look |= {"linewidth": 1.6} if alone else {"linewidth": 1.0, "alpha": 0.75}
            axes.plot(curve.x, curve.y, label=group.title if number == 0 else None, clip_on=False, **look)
    clean_axes(axes)
    if goal.share:
        share_axis(axes)
    count_axis(axes.xaxis)
    if max(ends) > FAR_APART * min(ends):
        axes.set_xscale("log")
        count_axis(axes.xaxis)
    else:
        axes.set_xlim(0, np.max(ends))
    axes.set_xlabel(x_label)
    put_title(axes, title or title_of(series, f"{goal.title} on validation problems"))
    legend_below(figure, axes)
    return figure
