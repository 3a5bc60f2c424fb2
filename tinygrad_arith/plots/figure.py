"""What all pictures share: a blank sheet, colours, and how a picture gets onto the disk."""

import math
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files.writing import atomic_path
from .library import load_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure
else:
    Figure = "matplotlib.figure.Figure"  # whose module is loaded with the first picture

DOTS_PER_INCH = 200
# The colours of all pictures. Any two differ for colour-blind readers (by 22 and more in CIELAB, simulated after
# Machado et al. 2009, https://doi.org/10.1109/TVCG.2009.113) and, printed in grey, in their lightness: 33, 63, 48, 10,
# 55, 71 and 39 of 100.
BLUE, ORANGE, GREEN, BLACK = "#1C4C95", "#D7860F", "#04834B", "#1B1B1B"
PURPLE, SKY, RED = "#B36AAB", "#43B9F0", "#AB2E07"
LINES = (BLUE, ORANGE, GREEN, BLACK, PURPLE, SKY, RED)
GREY, LIGHT_GREY = "#6E6E6E", "#E4E4E4"  # of text and of frames
LEGEND_SIZE, TITLE_SIZE, NAME_SIZE = 9.0, 11.0, 9.0  # points
LEGEND_HANDLE, LEGEND_GAP = 0.6, 0.25  # inches of the line before a name, and between two columns
LEGEND_ROW, TEXT_LINE = 0.21, 0.16  # inches
TITLE_MARGIN = 1.0  # inches of a figure's width that a title has not


def blank_figure(width: float, height: float) -> Figure:
    """An empty figure of the given size in inches, drawn by Agg: no window, no display, no pyplot."""
    load_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from .shown_figure import ShownFigure

    figure = ShownFigure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def blank_axes(width: float, height: float, columns: int = 1) -> tuple[Figure, Any]:
    """Such a figure with clean axes or, of several columns, a row of them."""
    figure = blank_figure(width, height)
    found = figure.subplots(1, columns)
    for axes in np.ravel(found):
        clean_axes(axes)
    return figure, found


def clean_axes(axes: Any) -> None:
    """Take away the frame's upper and right side, and put a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=LIGHT_GREY, linewidth=0.6)
    axes.set_axisbelow(True)


def share_axis(axes: Any) -> None:
    """A vertical axis for shares of 1, in percent."""
    axes.set_ylim(0.0, 1.03)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")


def count_axis(axis: Any) -> None:
    """An axis of counts: 2,000,000 is written 2M, and 15,000 15k."""
    axis.set_major_formatter(lambda count, _: short_count(count))


def short_count(count: float) -> str:
    """`800`, `15k`, `2.5M`."""
    rounded = float(f"{count:.3g}")  # first, so that 999,600 becomes 1M
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(rounded) >= size:
            return f"{rounded / size:g}{letter}"
    return f"{rounded:g}"


def put_title(axes: Any, title: str) -> None:
    """A title over the axes, in as many lines as it needs; the figure grows by those after the first."""
    figure = axes.figure
    room = figure.get_figwidth() - TITLE_MARGIN
    text = "\n".join(wrapped(figure, line, TITLE_SIZE, room) for line in title.split("\n"))
    axes.set_title(text, fontsize=TITLE_SIZE, loc="left")
    figure.set_figheight(figure.get_figheight() + TEXT_LINE * text.count("\n"))


def put_note(figure: Any, note: str) -> None:
    """A note on how to read the picture, small, in its lower right corner."""
    figure.supxlabel(note, x=0.99, ha="right", fontsize=7.5, color=GREY)


def name_run(figure: Any, name: str) -> Figure:
    """The picture with the name of its run above it, below the words that stand there; the figure grows by the line."""
    above = figure.get_suptitle()
    size = TITLE_SIZE if above else NAME_SIZE
    name = wrapped(figure, name, size, 0.95 * figure.get_figwidth())
    figure.set_figheight(figure.get_figheight() + TEXT_LINE * (1 + name.count("\n")))
    if above:
        figure.suptitle(f"{above}\n{name}", fontsize=size)
    else:
        figure.suptitle(name, fontsize=size, color=GREY, x=0.01, ha="left")
    return figure


def legend_below(figure: Any, axes: Any, title: str = "", always: bool = False) -> None:
    """A legend under the picture, where it hides no data; none if there is but one line, unless `always`.

    Long names are wrapped, and the figure grows by the rows after the first, so that the axes keep their size.
    """
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) < 2 and not always:
        return
    width = figure.get_figwidth() - 2 * LEGEND_GAP
    longest = max(text_width(figure, label, LEGEND_SIZE) for label in labels) + LEGEND_HANDLE + LEGEND_GAP
    columns = max(1, min(3, len(labels), int(width / longest)))
    if columns == 1:
        labels = [wrapped(figure, label, LEGEND_SIZE, width - LEGEND_HANDLE) for label in labels]
    look = {"frameon": False, "fontsize": LEGEND_SIZE, "title": title or None, "title_fontsize": LEGEND_SIZE}
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=3.4, **look)
    rows, more_lines = -(-len(labels) // columns), sum(label.count("\n") for label in labels)
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * (rows - 1) + TEXT_LINE * more_lines)


def wrapped(figure: Any, text: str, size: float, room: float) -> str:
    """The text in lines of at most `room` inches."""
    width = text_width(figure, text, size)
    if width <= room:
        return text
    return textwrap.fill(text, max(1, int(0.92 * room / width * len(text))))  # some letters are wider than others


def text_width(figure: Any, text: str, size: float) -> float:
    """Inches of a text of one line, in letters of `size` points."""
    from matplotlib.font_manager import FontProperties

    width, _, _ = figure.canvas.get_renderer().get_text_width_height_descent(text, FontProperties(size=size), False)
    return width / figure.dpi


def shown_token(token: str) -> str:
    """A token as pictures write it: a space is made visible."""
    return "␣" if token == " " else token


def percent(share: float) -> str:
    """A share of 1 in percent, rounded down to a tenth: `100` means all, to the last one."""
    tenths = math.floor(1000 * share + 1e-9)  # the nudge: 0.29 * 1000 is a little less than 290 in binary
    return str(tenths // 10) if tenths in (0, 1000) else f"{tenths / 10:.1f}"


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure to `path` (its suffix says which format, such as .png, .svg or .pdf); returns the path.

    The file appears whole or not at all; missing folders are made. Raises ValueError for an unknown format.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix.removeprefix(".") or "png"
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=DOTS_PER_INCH)
    return path
