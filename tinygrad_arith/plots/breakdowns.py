"""Where the mistakes lie: exact match of groups of problems as bars, and by the lengths of both operands as a map."""

from typing import Any

import numpy as np

from ..tasks.metrics import Grid, Groups
from ..tasks.scoring import wilson_interval
from .figure import BLUE, GREY, LIGHT_GREY, Figure, blank_axes, percent, put_note, put_title, share_axis, short_count

MOST_ANNOTATED = 16  # bars, and lengths; with more, the numbers no longer fit
CELL = 0.48  # inches of the map
DARK_FROM = 0.55  # shares from which a cell is so dark that its text is white


def group_scores(groups: Groups) -> Figure:
    """A bar for each group: the share answered right with its 95 % interval, and how many problems it is of."""
    scores = groups.scores
    figure, axes = blank_axes(min(9.0, max(4.2, 1.6 + 0.48 * len(scores))), 3.4)
    places = np.arange(len(scores))
    shares = np.array([score.correct / score.total for score in scores])  # (n,)
    limits = np.array([wilson_interval(score.correct, score.total) for score in scores]).T  # (2, n)
    whiskers = np.maximum(0.0, [shares - limits[0], limits[1] - shares])  # (2, n)
    axes.bar(places, shares, width=0.72, color=BLUE, alpha=0.85)
    axes.errorbar(places, shares, yerr=whiskers, fmt="none", ecolor="black", elinewidth=0.9, capsize=2.5)
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
    axes.set_xlabel(groups.title, labelpad=14 if annotated else None)
    put_title(axes, f"exact match by {groups.title}")
    put_note(figure, "whiskers: 95 % interval" + ("; small numbers: problems" if annotated else ""))
    return figure


def heatmap_name(split: str, digits: int | None = None, count: int | None = None) -> str:
    """The name of a map's file, without suffix; what was asked of part of a split, or of other digits, is in it.

    digits: the most digits of an operand, None: those of training; count: problems of the split, None: all.
    """
    parts = ["length_heatmap", split]
    parts += [] if digits is None else [f"{digits}_digits"]
    parts += [] if count is None else [f"{count}_problems"]
    return "_".join(parts)


def length_heatmap(grid: Grid, split: str = "test") -> Figure:
    """The share answered right for each pair of operand lengths; `split` says in the title of which problems.

    A cell holds the share in percent, rounded down so that only a flawless one says 100, and below it the number of
    problems; without problems it stays grey.
    """
    longest = len(grid.count)
    size = min(9.0, max(3.6, 1.6 + CELL * longest))
    figure, axes = blank_axes(size + 0.7, size)
    axes.grid(visible=False)
    shares = np.divide(grid.correct, grid.count, out=np.full(grid.count.shape, np.nan), where=grid.count > 0)  # (L, L)
    edges = np.arange(longest + 1) + 0.5
    axes.set_facecolor(LIGHT_GREY)
    image = axes.pcolormesh(edges, edges, np.ma.masked_invalid(shares), cmap="Blues", vmin=0.0, vmax=1.0)
    if longest <= MOST_ANNOTATED:
        annotate(axes, grid)
        axes.set_xticks(range(1, longest + 1))
        axes.set_yticks(range(1, longest + 1))
        put_note(figure, "small numbers: problems")
    axes.set_aspect("equal")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("digits of the second operand")
    axes.set_ylabel("digits of the first operand")
    put_title(axes, f"exact match by operand lengths\n({int(grid.count.sum()):,} {split} problems)")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    return figure


def annotate(axes: Any, grid: Grid) -> None:
    """Write the share, and how many problems it is of, into each cell that has any."""
    for first, second in zip(*np.nonzero(grid.count), strict=True):
        right, total = int(grid.correct[first, second]), int(grid.count[first, second])
        color = "white" if right / total >= DARK_FROM else "black"
        middle = {"ha": "center", "va": "center", "color": color}
        axes.text(second + 1, first + 1.11, percent(right / total), fontsize=8.5, **middle)
        axes.text(second + 1, first + 0.76, f"{total:,}", fontsize=6, **middle)
