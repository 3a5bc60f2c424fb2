"""The share of right tokens at each place of the answer, over training: which digits are learned first."""

from collections.abc import Sequence

import numpy as np

from .figure import Figure, blank_axes, count_axis, put_title, share_axis
from .library import load_matplotlib

MOST_NAMED = 16  # places that are written at the colour bar
LIGHTEST = 0.9  # of the colours: none so light that it is lost on white


def answer_positions(steps: Sequence[int], shares: np.ndarray) -> Figure:
    """A line for each place, from dark to light: shares (E, places) at `steps` (E,), given the right tokens before."""
    load_matplotlib()
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    figure, axes = blank_axes(6.8, 3.6)
    places = shares.shape[1]
    colors = ListedColormap(colormaps["viridis"](np.linspace(0.0, LIGHTEST, places)))
    for place in range(places):
        axes.plot(steps, shares[:, place], color=colors(place), linewidth=1.4, clip_on=False)
    share_axis(axes)
    axes.set_xlim(0, max(steps))
    count_axis(axes.xaxis)
    axes.set_xlabel("training step")
    put_title(axes, "right tokens by their place in the answer")
    scale = ScalarMappable(BoundaryNorm(np.arange(places + 1) + 0.5, places), colors)
    bar = figure.colorbar(scale, ax=axes)
    shown = range(1, places + 1, -(-places // MOST_NAMED))
    bar.set_ticks(shown, labels=[str(place) for place in shown])
    bar.ax.tick_params(length=0, labelsize=8)
    bar.ax.minorticks_off()
    bar.ax.invert_yaxis()
    bar.outline.set_visible(False)
    bar.set_label("place in the answer, as written", fontsize=9)
    return figure
