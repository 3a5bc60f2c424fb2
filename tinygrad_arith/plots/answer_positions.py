"""The share of right tokens at each place of the answer, over training: which digits are learned first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .figure import blank_figure, clean_axes, count_axis, put_title, share_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NAMED = 16  # places that are written at the colour bar


def answer_positions(steps: Sequence[int], shares: np.ndarray, names: Sequence[str] = (), title: str = "") -> "Figure":
    """A line for each place: shares (E, places) at `steps` (E,), given the right tokens before that place.

    `names` are what the places are called at the colour bar, by default 1, 2, ... as they are written.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    figure = blank_figure(6.8, 3.6)
    axes = figure.subplots()
    places = shares.shape[1]
    colors = ListedColormap(place_colors(places))
    for place in range(places):
        axes.plot(steps, shares[:, place], color=colors(place), linewidth=1.4, clip_on=False)
    clean_axes(axes)
    share_axis(axes)
    axes.set_xlim(0, max(steps))
    count_axis(axes.xaxis)
    axes.set_xlabel("training step")
    put_title(axes, title or "right tokens by their place in the answer")
    scale = ScalarMappable(BoundaryNorm(np.arange(places + 1) + 0.5, places), colors)
    bar = figure.colorbar(scale, ax=axes)
    shown = range(1, places + 1, -(-places // MOST_NAMED))
    bar.set_ticks(shown, labels=[names[place - 1] if names else str(place) for place in shown])
    bar.ax.tick_params(length=0, labelsize=8)
    bar.ax.minorticks_off()
    bar.ax.invert_yaxis()
    bar.outline.set_visible(False)
    bar.set_label("place in the answer, as written", fontsize=9)
    return figure


def place_colors(places: int) -> list:
    """A colour for each place, from dark to light, none so light that it is lost on white."""
    from matplotlib import colormaps

    return [colormaps["viridis"](value) for value in np.linspace(0.0, 0.9, places)]
