"""Exact match by the lengths of both operands, as a heat map."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import LIGHT_GREY, blank_figure, percent, put_note, put_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ANNOTATED = 16  # lengths; with more, the numbers no longer fit into their cells
CELL = 0.48  # inches
DARK_FROM = 0.55  # shares from which a cell is so dark that its text is white


def heatmap_name(split: str, digits: int | None = None, count: int | None = None) -> str:
    """The name of the file, without suffix; what was asked of part of a split, or of other digits, is in it.

    digits: the most digits of an operand, None: those of training; count: problems of the split, None: all.
    """
    parts = ["length_heatmap", split]
    parts += [] if digits is None else [f"{digits}_digits"]
    parts += [] if count is None else [f"{count}_problems"]
    return "_".join(parts)


def length_heatmap(correct: np.ndarray, count: np.ndarray, split: str = "test", title: str = "") -> "Figure":
    """The share answered right for each pair of operand lengths; `split` says in the title of which problems.

    `correct`, `count`: int64 (L, L), row = digits of the first operand - 1. A cell holds the share in percent, rounded
    down so that only a flawless one says 100, and below it the number of problems; without problems it stays grey.
    """
    longest = len(count)
    size = min(9.0, max(3.6, 1.6 + CELL * longest))
    figure = blank_figure(size + 0.7, size)
    axes = figure.subplots()
    shares = np.divide(correct, count, out=np.full(count.shape, np.nan), where=count > 0)  # (L, L)
    edges = np.arange(longest + 1) + 0.5
    axes.set_facecolor(LIGHT_GREY)
    image = axes.pcolormesh(edges, edges, np.ma.masked_invalid(shares), cmap="Blues", vmin=0.0, vmax=1.0)
    if longest <= MOST_ANNOTATED:
        annotate(axes, correct, count)
        axes.set_xticks(range(1, longest + 1))
        axes.set_yticks(range(1, longest + 1))
    axes.set_aspect("equal")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("digits of the second operand")
    axes.set_ylabel("digits of the first operand")
    if longest <= MOST_ANNOTATED:
        put_note(figure, "small numbers: problems")
    put_title(axes, title or f"exact match by operand lengths, %\n({int(count.sum()):,} {split} problems)")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    return figure


def annotate(axes: Any, correct: np.ndarray, count: np.ndarray) -> None:
    """Write the share, and how many problems it is of, into each cell that has any."""
    for first, second in zip(*np.nonzero(count), strict=True):
        right, total = int(correct[first, second]), int(count[first, second])
        color = "white" if right / total >= DARK_FROM else "black"
        middle = {"ha": "center", "va": "center", "color": color}
        axes.text(second + 1, first + 1.11, percent(right / total), fontsize=8.5, **middle)
        axes.text(second + 1, first + 0.76, f"{total:,}", fontsize=6, **middle)
