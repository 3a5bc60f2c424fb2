"""A training run as two curves: the loss of every step, and the goal metric wherever it was measured."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..run_files.metrics import checked_metrics, evaluated_rows
from ..tasks.metrics import EXACT_MATCH, Goal
from .figure import BLUE, GREEN, GREY, blank_figure, clean_axes, percent, save_figure, share_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DECADE = 10.0
SMOOTHED_SHARE = 0.02  # of all steps, that the smoothed loss is averaged over


def training_curve(rows: Sequence[dict[str, Any]], title: str = "", goal: Goal = EXACT_MATCH) -> "Figure":
    """Loss on the left, the goal metric on validation problems on the right, over training steps.

    The loss is drawn on a logarithmic scale where it spans more than a factor of ten.
    `rows` are those of `metrics.jsonl`: each has `step` and `loss`, and those that were evaluated the goal.
    """
    figure = blank_figure(8.0, 3.2)
    left, right = figure.subplots(1, 2)
    draw_loss(left, rows)
    draw_goal(right, rows, goal)
    for axes in (left, right):
        clean_axes(axes)
        axes.set_xlabel("training step")
        axes.locator_params(axis="x", integer=True)
        axes.set_xlim(0, max((row["step"] for row in rows), default=1))
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def draw_loss(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """The loss of each step, pale, and its mean over the last few, bold; of few steps the former alone."""
    steps = np.array([row["step"] for row in rows], dtype=np.float64)
    losses = np.array([row["loss"] for row in rows], dtype=np.float64)
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
    axes.set_title("loss, nats per counted token", fontsize=10, loc="left")


def draw_goal(axes: Any, rows: Sequence[dict[str, Any]], goal: Goal) -> None:
    """The goal metric on the validation problems, at each evaluation; the last is written out."""
    evaluated = evaluated_rows(rows, goal)
    steps = [row["step"] for row in evaluated]
    values = [row[goal.field] for row in evaluated]
    if evaluated:
        axes.plot(steps, values, color=GREEN, linewidth=1.6, marker="o", markersize=3.5, clip_on=False)
        last = percent(values[-1]) + "%" if goal.share else f"{values[-1]:.4g}"
        offset = (-4, -14) if goal.share and values[-1] > 0.5 else (-4, 8)
        axes.annotate(last, (steps[-1], values[-1]), offset, textcoords="offset points", ha="right", color=GREEN)
    else:
        axes.text(0.5, 0.5, "not evaluated yet", transform=axes.transAxes, ha="center", color=GREY)
    if goal.share:
        share_axis(axes)
    axes.set_title(f"{goal.title} on validation problems", fontsize=10, loc="left")


def plot_training_curve(directory: str | os.PathLike[str], goal: Goal = EXACT_MATCH) -> Path:
    """Draw the curves of the run in `directory` into its `plots/training_curve.png`; returns that path.

    Raises UserError if its `metrics.jsonl` holds something else.
    """
    figure = training_curve(checked_metrics(Path(directory), goal), goal=goal)
    return save_figure(figure, Path(directory) / "plots" / "training_curve.png")
