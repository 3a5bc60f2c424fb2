"""Exact match of groups of problems, such as those with the same longest carry chain, as bars with their intervals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..tasks.scoring import GroupScore, wilson_interval
from .figure import BLUE, GREY, blank_figure, clean_axes, percent, put_note, put_title, share_axis, short_count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ANNOTATED = 16  # bars; with more, the numbers no longer fit


def group_scores(scores: Sequence[GroupScore], group: str, title: str = "") -> "Figure":
    """A bar for each group: the share answered right with its 95 % interval, and how many problems it is of."""
    figure = blank_figure(min(9.0, max(4.2, 1.6 + 0.48 * len(scores))), 3.4)
    axes = figure.subplots()
    places = np.arange(len(scores))
    shares = np.array([score.correct / score.total for score in scores])  # (n,)
    limits = np.array([wilson_interval(score.correct, score.total) for score in scores]).T  # (2, n)
    whiskers = np.maximum(0.0, [shares - limits[0], limits[1] - shares])  # (2, n)
    axes.bar(places, shares, width=0.72, color=BLUE, alpha=0.85)
    axes.errorbar(places, shares, yerr=whiskers, fmt="none", ecolor="black", elinewidth=0.9, capsize=2.5)
    clean_axes(axes)
    axes.grid(visible=False, axis="x")
    share_axis(axes)
    axes.set_ylim(0.0, 1.16)
    axes.set_xlim(-0.7, len(scores) - 0.3)
    axes.set_yticks(np.linspace(0, 1, 6))
    annotated = len(scores) <= MOST_ANNOTATED
    if annotated:
        below = axes.get_xaxis_transform()  # across as the bars, upwards in heights of the axes
        for place, score, high in zip(places.tolist(), scores, limits[1].tolist(), strict=True):
            axes.text(place, high + 0.025, percent(score.correct / score.total), ha="center", fontsize=8.5)
            count = short_count(score.total)
            axes.text(place, -0.095, count, transform=below, ha="center", va="top", fontsize=6.5, color=GREY)
    axes.set_xticks(places[:: 1 if annotated else 1 + len(scores) // MOST_ANNOTATED])
    axes.set_xticklabels([str(scores[place].group) for place in axes.get_xticks()])
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel(group, labelpad=14 if annotated else None)
    put_title(axes, title or f"exact match by {group}, %")
    put_note(figure, "whiskers: 95 % interval" + ("; small numbers: problems" if annotated else ""))
    return figure
