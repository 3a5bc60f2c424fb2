"""Where each head of each layer looks: a map a head, labelled with the tokens."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .figure import ORANGE, TITLE_SIZE, Figure, blank_figure, put_note, shown_token, wrapped
from .library import load_matplotlib

CELL = 0.1  # inches of a position, where there is room: a letter of 7 points fits in
NARROWEST, WIDEST = 1.5, 12.0  # inches of a map, and of all maps side by side
LETTER = 68.0  # points of a letter that just fits into an inch
ANSWER: dict[str, Any] = {"color": ORANGE, "linewidth": 0.9}  # the lines before it
MARKS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)  # shares written at the scale


def attention_maps(maps: Sequence[np.ndarray], tokens: Sequence[str], answer: int | None = None) -> Figure:
    """Layers as rows, heads as columns; in each map a row is a query (the token that looks), a column a key.

    maps: one (NH, T, T) a layer, each row a probability distribution; tokens: (T,), the text of each position.
    The darkness follows the root of the share, in all heads alike: of 20 tokens that are looked at alike each has 5 %,
    which an even scale would draw next to white, and the root as dark as that draws 22 %.

    answer: the place of the answer's first token, before which each map is divided; None, or a place behind the last
            token, where no token of the answer is read
    """
    load_matplotlib()
    from matplotlib.colors import PowerNorm

    heads, length = maps[0].shape[0], len(tokens)
    side = min(max(NARROWEST, CELL * length), WIDEST / heads)  # inches of a map
    size = min(7.0, LETTER * side / length)  # points of a letter
    figure = blank_figure(0.9 + heads * (side + 0.2), 0.9 + len(maps) * (side + 0.35))
    grid = figure.subplots(len(maps), heads, squeeze=False)
    for layer, row in enumerate(grid):
        for head, axes in enumerate(row):
            image = axes.imshow(maps[layer][head], cmap="Blues", norm=PowerNorm(0.5, 0.0, 1.0), interpolation="nearest")
            axes.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=8.5, loc="left", pad=3)
            label_axis(axes.xaxis, tokens if layer == len(maps) - 1 else (), size)
            label_axis(axes.yaxis, tokens if head == 0 else (), size)
            axes.spines[:].set_linewidth(0.5)
            if answer is not None and answer < length:
                axes.axhline(answer - 0.5, **ANSWER)
                axes.axvline(answer - 0.5, **ANSWER)
    bar = figure.colorbar(image, ax=grid, shrink=min(1.0, 2.2 / (len(maps) * side)), aspect=25, pad=0.01)
    bar.outline.set_visible(False)
    bar.set_ticks(MARKS, labels=[f"{share:.0%}" for share in MARKS])
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=8)
    bar.set_label("share of the attention, root scale", fontsize=8)
    words = "attention: each row is a token that looks, each column what it looks at"
    if answer is not None and answer < length:
        put_note(figure, "lines: the answer begins behind them")
    figure.suptitle(wrapped(figure, words, TITLE_SIZE, figure.get_figwidth()), fontsize=TITLE_SIZE)
    return figure


def label_axis(axis: Any, tokens: Sequence[str], size: float) -> None:
    """Write the tokens, or nothing, along an axis."""
    axis.set_ticks(range(len(tokens)), labels=[shown_token(token) for token in tokens])
    axis.set_tick_params(length=0, pad=1.5, labelsize=size, labelfontfamily="monospace")
