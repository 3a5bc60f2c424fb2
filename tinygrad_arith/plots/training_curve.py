"""Training as two curves over the steps, the loss and the goal metric: of one run, or of several groups of runs."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..comparisons.finished_runs import Group
from ..run_files.metrics import checked_metrics, evaluated_rows
from ..tasks.metrics import EXACT_MATCH, Goal
from .figure import (
    BLUE,
    GREEN,
    GREY,
    Figure,
    blank_axes,
    count_axis,
    legend_below,
    name_run,
    percent,
    save_figure,
    share_axis,
)
from .series import Curve, Series, draw_group

DECADE = 10.0  # from which span on losses are drawn on a logarithmic scale
SMOOTHED_SHARE = 0.02  # of all steps, that the smoothed loss is averaged over
BINS = 200  # along the steps, in each of which the losses of a run are averaged where several are compared


def two_axes(height: float, goal: Goal) -> tuple[Figure, Any, Any]:
    """A sheet with axes for the loss, on the left, and for the goal metric on validation problems."""
    figure, (left, right) = blank_axes(8.0, height, columns=2)
    for axes, title in ((left, "loss, nats per counted token"), (right, f"{goal.title} on validation problems")):
        axes.set_xlabel("training step")
        axes.set_title(title, fontsize=10, loc="left")
    if goal.share:
        share_axis(right)
    return figure, left, right


# One run


def plot_training_curve(directory: str | os.PathLike[str], goal: Goal = EXACT_MATCH) -> Path:
    """Draw the curves of the run in `directory` into its `plots/training_curve.png`; returns that path.

    Raises UserError if its `metrics.jsonl` holds something else.
    """
    figure = training_curve(checked_metrics(Path(directory), goal), goal)
    name_run(figure, Path(directory).resolve().name)
    return save_figure(figure, Path(directory) / "plots" / "training_curve.png")


def training_curve(rows: Sequence[dict[str, Any]], goal: Goal = EXACT_MATCH) -> Figure:
    """The loss of every step, and the goal metric wherever it was measured.

    `rows` are those of `metrics.jsonl`: each has `step` and `loss`, and those that were evaluated the goal.
    """
    figure, left, right = two_axes(3.2, goal)
    draw_loss(left, rows)
    draw_goal(right, evaluated_rows(rows, goal), goal)
    for axes in (left, right):
        axes.locator_params(axis="x", integer=True)
        axes.set_xlim(0, max((row["step"] for row in rows), default=1))
    return figure


def draw_loss(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """The loss of each step, pale, and its mean over the last few, bold; of few steps the former alone."""
    steps, losses = Curve.of(rows, "step", "loss")
    window = max(1, round(SMOOTHED_SHARE * len(losses)))
    pale = {"alpha": 0.35, "linewidth": 0.8} if window > 1 else {"linewidth": 1.6}
    axes.plot(steps, losses, color=BLUE, label="each step", **pale)
    if window > 1:
        means = np.convolve(losses, np.full(window, 1.0 / window), mode="valid")
        axes.plot(steps[window - 1 :], means, color=BLUE, linewidth=1.6, label=f"mean of {window} steps")
        axes.legend(frameon=False, fontsize=8)
    if np.max(losses, initial=0.0) > DECADE * np.min(losses, initial=np.inf) > 0:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.05 * np.max(losses, initial=1e-6))


def draw_goal(axes: Any, evaluated: Sequence[Mapping[str, Any]], goal: Goal) -> None:
    """The goal metric at each evaluation; the last is written out."""
    if not evaluated:
        axes.text(0.5, 0.5, "not evaluated yet", transform=axes.transAxes, ha="center", color=GREY)
        return
    steps, values = Curve.of(evaluated, "step", goal.field)
    axes.plot(steps, values, color=GREEN, linewidth=1.6, marker="o", markersize=3.5, clip_on=False)
    last = percent(values[-1]) + "%" if goal.share else f"{values[-1]:.4g}"
    offset = (-4, -14) if goal.share and values[-1] > 0.5 else (-4, 8)
    axes.annotate(last, (steps[-1], values[-1]), offset, textcoords="offset points", ha="right", color=GREEN)


# Several runs


def comparison_picture(groups: Sequence[Group]) -> Figure:
    """The groups' losses and the goal metric, of those with the first one's goal, over the training steps."""
    goal = groups[0].runs[0].goal
    groups = [group for group in groups if group.runs[0].goal == goal]
    last = max(run.rows[-1]["step"] for group in groups for run in group.runs)
    losses, values = [], []
    for group in groups:
        curves = [binned(*Curve.of(run.rows, "step", "loss"), last) for run in group.runs]
        losses.append(Series(group.label, curves))
        values.append(Series(group.label, [Curve.of(run.evaluated, "step", goal.field) for run in group.runs]))
    return comparison(losses, values, goal)


def comparison(losses: Sequence[Series], values: Sequence[Series], goal: Goal = EXACT_MATCH) -> Figure:
    """Training losses and the goal metric, a series for each group of runs; in each curve, x are training steps.

    A line is the median over a group's runs, a band reaches from the lowest run to the highest.
    """
    figure, left, right = two_axes(3.8, goal)
    last = max(curve.x[-1] for group in losses for curve in group.curves)
    for axes, series in ((left, losses), (right, values)):
        for index, group in enumerate(series):
            draw_group(axes, group, index, clipped=axes is left)
        count_axis(axes.xaxis)
        axes.set_xlim(0, last)
    scale_losses(left)
    several = [len(group.curves) > 1 for group in losses]
    single = "" if all(several) else "; without a band: a single run"
    explanation = f"line: median over seeds; band: from the lowest to the highest{single}" if any(several) else ""
    legend_below(figure, left, explanation, always=True)
    return figure


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
