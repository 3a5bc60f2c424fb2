"""Several runs in one picture: for each group, the median over its seeds within the range of all of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tasks.metrics import EXACT_MATCH, Goal
from .figure import blank_figure, clean_axes, count_axis, legend_below, share_axis
from .series import Curve, Series, draw_group

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..comparisons.finished_runs import Group

DECADE = 10.0
BINS = 200  # along the steps, in each of which the losses of a run are averaged


def comparison_picture(groups: "Sequence[Group]") -> "Figure":
    """The groups' losses and the goal metric, of those with the first one's goal, over the training steps."""
    goal = groups[0].runs[0].goal
    groups = [group for group in groups if group.runs[0].goal == goal]
    last = max(int(run.curves.steps[-1]) for group in groups for run in group.runs)
    losses, values = [], []
    for group in groups:
        curves = [run.curves for run in group.runs]
        losses.append(Series(group.label, [binned(curve.steps, curve.losses, last) for curve in curves]))
        values.append(Series(group.label, [Curve(curve.evaluated, curve.values) for curve in curves]))
    return comparison(losses, values, goal=goal)


def comparison(
    losses: Sequence[Series], values: Sequence[Series], title: str = "", goal: Goal = EXACT_MATCH
) -> "Figure":
    """Training loss on the left, the goal metric on validation problems on the right; a series for each group of runs.

    A line is the median over a group's runs, a band reaches from the lowest run to the highest. The loss has a
    logarithmic scale where it spans more than a factor of ten. In each curve, x are training steps.
    """
    figure = blank_figure(8.0, 3.8)
    left, right = figure.subplots(1, 2)
    for axes, series in ((left, losses), (right, values)):
        for index, group in enumerate(series):
            draw_group(axes, group, index, clipped=axes is left)
    last = max(curve.x[-1] for group in losses for curve in group.curves)
    for axes in (left, right):
        clean_axes(axes)
        count_axis(axes.xaxis)
        axes.set_xlim(0, last)
        axes.set_xlabel("training step")
    scale_losses(left)
    left.set_title("loss, nats per counted token", fontsize=10, loc="left")
    if goal.share:
        share_axis(right)
    right.set_title(f"{goal.title} on validation problems", fontsize=10, loc="left")
    if title:
        figure.suptitle(title, fontsize=11)
    legend_below(figure, left, explanation(losses), always=True)
    return figure


def explanation(series: Sequence[Series]) -> str:
    """What lines and bands are; nothing over single runs."""
    several = [len(group.curves) > 1 for group in series]
    if not any(several):
        return ""
    single = "" if all(several) else "; without a band: a single run"
    return f"line: median over seeds; band: from the lowest to the highest{single}"


def binned(steps: np.ndarray, losses: np.ndarray, last: int) -> Curve:
    """The losses (n,) of one run, averaged over bins of steps (n,), so that 54,000 can be drawn and compared.

    There are about 200 bins from step 1 to `last`; a mean stands at the last step of its bin.
    """
    width = -(-last // BINS)
    bins = (steps - 1) // width  # (n,)
    present, positions = np.unique(bins, return_inverse=True)
    means = np.bincount(positions, weights=losses) / np.bincount(positions)
    return Curve(np.minimum((present + 1) * width, last), means)


def scale_losses(axes: Any) -> None:
    """Choose the scale of the loss by what is drawn; a loss of 0, as of a float32 softmax, has no logarithm."""
    losses = np.concatenate([line.get_ydata() for line in axes.lines])
    if losses.max() > DECADE * np.min(losses, where=losses > 0, initial=np.inf):
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, None)
