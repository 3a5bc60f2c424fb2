"""What all pictures share: a blank sheet, colours, and how a picture gets onto the disk."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..training.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 200
# Okabe and Ito's colours: told apart by colour-blind readers, and as greys in print.
BLUE, ORANGE, GREEN, GREY, LIGHT_GREY = "#0072B2", "#D55E00", "#009E73", "#6E6E6E", "#E4E4E4"
LINES = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", GREY)
STYLES = ("-", "--", ":")  # for more lines than colours
LEGEND_LETTER, LEGEND_HANDLE = 0.075, 8  # inches of a letter in a legend; the line before it, in letters


def blank_figure(width: float, height: float) -> "Figure":
    """An empty figure of the given size in inches, drawn by Agg: no window, no display, no pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def clean_axes(axes: Any) -> None:
    """Take away the frame's upper and right side, and put a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=LIGHT_GREY, linewidth=0.6)
    axes.set_axisbelow(True)


def line_look(index: int) -> dict[str, Any]:
    """Colour and style of the line number `index`: all colours in full lines first, then in dashed ones."""
    return {"color": LINES[index % len(LINES)], "linestyle": STYLES[index // len(LINES) % len(STYLES)]}


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


def legend_below(figure: Any, axes: Any) -> None:
    """A legend under the picture, where it hides no data; none if there is but one line."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        room = figure.get_figwidth() / (LEGEND_LETTER * (max(map(len, labels)) + LEGEND_HANDLE))
        columns = max(1, min(3, int(room)))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def shown_token(token: str) -> str:
    """A token as pictures write it: a space is made visible."""
    return "␣" if token == " " else token


def percent(share: float) -> str:
    """A share of 1 in percent, rounded down to a tenth: `100` means all, to the last one."""
    tenths = math.floor(1000 * share + 1e-9)  # the nudge: 0.29 * 1000 is a little less than 290 in binary
    return str(tenths // 10) if tenths in (0, 1000) else f"{tenths / 10:.1f}"


def save_figure(figure: "Figure", path: str | os.PathLike[str]) -> Path:
    """Write a figure to `path` (its suffix says which format, such as .png, .svg or .pdf); returns the path.

    The file appears whole or not at all; missing folders are made. Raises ValueError for an unknown format.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix.removeprefix(".") or "png"
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=DOTS_PER_INCH)
    return path
