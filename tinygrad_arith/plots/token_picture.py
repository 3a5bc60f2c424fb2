"""What a model predicts for a few samples, token by token, over training (after the candle article's picture)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import BLUE, GREY, LIGHT_GREY, ORANGE, blank_figure, shown_token

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..run_files.predictions import SamplePredictions

MOST_ROWS = 24  # evaluations shown; of more, some are chosen, close at the beginning and farther apart later
MOST_COLUMNS = 31  # tokens side by side: as many samples as fit, at least one
FEWEST_COLUMNS = 18  # so that there is room for the title
BOX = 0.2  # inches
SAMPLE_ROW = -1.4  # where the samples stand, above the evaluation 0


@dataclass(frozen=True)
class Look:
    """How a prediction is drawn: its box and its letter."""

    face: str
    edge: str
    letter: str
    weight: str = "normal"


RIGHT = Look(BLUE, BLUE, "white")
WRONG = Look(ORANGE, ORANGE, "black", "bold")
UNCOUNTED = Look("white", LIGHT_GREY, "#9A9A9A")


def token_picture(samples: "Sequence[SamplePredictions]", steps: Sequence[int], title: str = "") -> "Figure":
    """A row for each evaluation, a column for each token; above them the samples themselves, side by side.

    `steps` are those of the E evaluations. Of the predictions that bear loss, right ones are white on dark, wrong ones
    bold on light, so that they differ in grey too; the others have no colour.
    """
    samples = samples[: fitting([len(sample.tokens) for sample in samples])]
    rows = chosen_rows(len(steps))
    wide = any(len(token) > 1 for sample in samples for token in sample.tokens)
    width = BOX * (1.45 if wide else 1.0)  # boxes for numbers are wider than those for letters
    columns = max(FEWEST_COLUMNS, sum(len(sample.tokens) + 1 for sample in samples) - 1)
    figure = blank_figure(1.2 + width * columns, 1.15 + BOX * (len(rows) + 1.6))
    axes = figure.subplots()
    start, grey = 0, False
    for sample in samples:
        grey |= draw_sample(axes, start, sample, rows, size=6.5 if wide else 8.0)
        start += len(sample.tokens) + 1
    axes.set_xlim(-0.6, columns - 0.4)
    axes.set_ylim(len(rows) - 0.4, SAMPLE_ROW - 0.7)
    axes.set_yticks([SAMPLE_ROW, *range(len(rows))], labels=["sample", *(f"{steps[i]:,}" for i in rows)])
    axes.tick_params(length=0, labelsize=8)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.set_ylabel("training step", fontsize=9)
    axes.set_title(title or "each token as predicted from the right ones before it", fontsize=10, loc="left")
    draw_key(figure, grey)
    return figure


def fitting(lengths: Sequence[int]) -> int:
    """How many of the samples fit side by side, with a column between two of them: at least one."""
    ends = np.cumsum([length + 1 for length in lengths]) - 1
    return max(1, int(np.sum(ends <= MOST_COLUMNS)))


def draw_sample(axes: Any, start: int, sample: "SamplePredictions", rows: Sequence[int], size: float) -> bool:
    """One sample with its first token at column `start`; returns whether any prediction was grey."""
    grey = False
    for place, token in enumerate(sample.tokens):
        write(axes, start + place, SAMPLE_ROW, token, "black", size, weight="bold")
        if place == 0:
            continue  # nothing comes before the first token that could predict it
        counted = sample.counted[place - 1]
        for row, evaluation in enumerate(rows):
            guess = sample.predicted[evaluation][place - 1]
            if guess:
                look = (RIGHT if guess == token else WRONG) if counted else UNCOUNTED
                draw_box(axes, start + place, row, look)
                write(axes, start + place, row, guess, look.letter, size, look.weight)
                grey |= look is UNCOUNTED
    return grey


def draw_key(figure: "Figure", grey: bool) -> None:
    """What the colours mean, under the picture."""
    from matplotlib.patches import Patch

    looks = [(RIGHT, "right"), (WRONG, "wrong, in bold"), *([(UNCOUNTED, "bears no loss")] if grey else [])]
    keys = [Patch(facecolor=look.face, edgecolor=look.edge, label=label) for look, label in looks]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5, labelcolor=GREY)


def chosen_rows(count: int) -> list[int]:
    """Which of `count` evaluations are shown: all, or `MOST_ROWS` at most, the first and the last among them."""
    if count <= MOST_ROWS:
        return list(range(count))
    return sorted({round(place) - 1 for place in np.geomspace(1, count, MOST_ROWS)})


def draw_box(axes: Any, place: int, row: int, look: Look) -> None:
    """The box of a prediction."""
    from matplotlib.patches import Rectangle

    corner = (place - 0.45, row - 0.45)
    axes.add_patch(Rectangle(corner, 0.9, 0.9, facecolor=look.face, edgecolor=look.edge, linewidth=0.6))


def write(axes: Any, place: int, row: float, token: str, color: str, size: float, weight: str = "normal") -> None:
    """A token in the middle of its box."""
    look = {"family": "monospace", "fontsize": size, "color": color, "weight": weight}
    axes.text(place, row, shown_token(token), ha="center", va="center_baseline", **look)
