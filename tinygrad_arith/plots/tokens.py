"""Tokens in boxes: which of a sample bear loss, and what a model predicts for a few samples over training."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..run_files.predictions import SamplePredictions
from ..tasks import Vocabulary
from .figure import BLUE, GREY, LIGHT_GREY, ORANGE, Figure, blank_figure, shown_token, text_width
from .library import load_matplotlib


class Look(NamedTuple):
    """How a token is drawn: its box and its letter."""

    face: str
    edge: str
    letter: str
    weight: str = "normal"


PLAIN = Look("white", GREY, "black")
RIGHT = COUNTED = Look(BLUE, BLUE, "white")
WRONG = Look(ORANGE, ORANGE, "black", "bold")
UNCOUNTED = Look("white", LIGHT_GREY, "#9A9A9A")  # a prediction that bears no loss

# Of the loss mask:
READ, PREDICTED = 0.0, 1.75  # heights of the two rows of boxes, in distances between positions
BELOW, ABOVE = 1.25, 0.5  # of the rows, with room for the note
UNIT = 0.37  # inches from one position to the next
LABELS = {READ: "the model reads", PREDICTED: "and predicts next"}
TEXT = 9.0  # points

# Of the predictions over training:
MOST_ROWS = 24  # evaluations shown; of more, some are chosen, close at the beginning and farther apart later
MOST_COLUMNS = 31  # tokens side by side: as many samples as fit, at least one
FEWEST_COLUMNS = 18  # so that there is room for the title
BOX = 0.2  # inches
SAMPLE_ROW = -1.4  # where the samples stand, above the evaluation 0


def draw_box(axes: Any, x: float, y: float, look: Look, side: float, linewidth: float) -> None:
    """A square centred at (x, y); 1.0 is the distance between tokens."""
    from matplotlib.patches import Rectangle

    corner = (x - side / 2, y - side / 2)
    axes.add_patch(Rectangle(corner, side, side, facecolor=look.face, edgecolor=look.edge, linewidth=linewidth))


def write(axes: Any, x: float, y: float, token: str, look: Look, size: float, va: str = "center_baseline") -> None:
    """A token in the middle of its box."""
    font = {"family": "monospace", "fontsize": size, "color": look.letter, "weight": look.weight}
    axes.text(x, y, shown_token(token), ha="center", va=va, **font)


# Which tokens bear loss


def loss_mask(tokens: np.ndarray, targets: np.ndarray, vocabulary: Vocabulary) -> Figure:
    """Draw one row of a batch: tokens int64 (T,), targets int64 (T,) with -1 where no loss is borne.

    The lower boxes are what the model reads, the upper ones the next tokens; an arrow and a filled box say that this
    prediction counts in the loss. Padding is left out.
    """
    length = int(np.max(np.nonzero(tokens != vocabulary.padding)[0], initial=0)) + 1
    text = [vocabulary.tokens[token] for token in tokens[:length]]
    figure = blank_figure(4.0, UNIT * (PREDICTED + ABOVE + BELOW))
    left = -0.9 - max(text_width(figure, label, TEXT) for label in LABELS.values()) / UNIT
    figure.set_figwidth(UNIT * (length - left))
    axes = figure.subplots()

    def draw(place: int, height: float, token: str, look: Look) -> None:
        """A token in its box."""
        draw_box(axes, place, height, look, side=0.86, linewidth=0.9)
        write(axes, place, height - 0.02, token, look, size=10, va="center")

    arrow = {"arrowstyle": "-|>", "color": BLUE, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
    for place in range(length):
        draw(place, READ, text[place], PLAIN)
        if targets[place] >= 0:  # which may be a token that is not in the row: the answer to a prefix
            draw(place, PREDICTED, vocabulary.tokens[targets[place]], COUNTED)
            axes.annotate("", (place, PREDICTED - 0.48), (place, READ + 0.48), arrowprops=arrow)
        elif place + 1 < length:
            draw(place, PREDICTED, text[place + 1], UNCOUNTED)
    for height, label in LABELS.items():
        axes.text(-0.8, height, label, ha="right", va="center", fontsize=TEXT)
    counted = int(np.sum(targets >= 0))
    counting = "1 prediction that bears" if counted == 1 else f"{counted} predictions that bear"
    note = f"filled: the {counting} loss"
    axes.text(length - 0.5, READ - 0.75, note, ha="right", va="top", fontsize=TEXT, color=BLUE)
    axes.set_xlim(left, length - 0.4)
    axes.set_ylim(READ - BELOW, PREDICTED + ABOVE)
    axes.set_aspect("equal")
    axes.axis("off")
    return figure


# What is predicted over training (after the picture in https://tech-blog.cloud-config.jp/2023-09-12-create-small-lm-in-rust-using-candle)


def token_picture(samples: Sequence[SamplePredictions], steps: Sequence[int]) -> Figure:
    """A row for each evaluation, a column for each token; above them the samples themselves, side by side.

    `steps` are those of the E evaluations. Of the predictions that bear loss, right ones are white on dark, wrong ones
    bold on light, so that they differ in grey too; the others have no colour.
    """
    load_matplotlib()
    from matplotlib.patches import Patch

    samples = samples[: fitting([len(sample.tokens) for sample in samples])]
    rows = chosen_rows(len(steps))
    wide = any(len(token) > 1 for sample in samples for token in sample.tokens)
    width = BOX * (1.45 if wide else 1.0)  # boxes for numbers are wider than those for letters
    columns = max(FEWEST_COLUMNS, sum(len(sample.tokens) + 1 for sample in samples) - 1)
    figure = blank_figure(1.2 + width * columns, 1.15 + BOX * (len(rows) + 1.6))
    axes = figure.subplots()
    start, looks = 0, {RIGHT: "right", WRONG: "wrong, in bold"}
    for sample in samples:
        if draw_sample(axes, start, sample, rows, size=6.5 if wide else 8.0):
            looks[UNCOUNTED] = "bears no loss"
        start += len(sample.tokens) + 1
    axes.set_xlim(-0.6, columns - 0.4)
    axes.set_ylim(len(rows) - 0.4, SAMPLE_ROW - 0.7)
    axes.set_yticks([SAMPLE_ROW, *range(len(rows))], labels=["sample", *(f"{steps[i]:,}" for i in rows)])
    axes.tick_params(length=0, labelsize=8)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.set_ylabel("training step", fontsize=9)
    axes.set_title("each token as predicted from the right ones before it", fontsize=10, loc="left")
    keys = [Patch(facecolor=look.face, edgecolor=look.edge, label=label) for look, label in looks.items()]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5, labelcolor=GREY)
    return figure


def fitting(lengths: Sequence[int]) -> int:
    """How many of the samples fit side by side, with a column between two of them: at least one."""
    ends = np.cumsum([length + 1 for length in lengths]) - 1
    return max(1, int(np.sum(ends <= MOST_COLUMNS)))


def chosen_rows(count: int) -> list[int]:
    """Which of `count` evaluations are shown: all, or `MOST_ROWS` at most, the first and the last among them."""
    if count <= MOST_ROWS:
        return list(range(count))
    return sorted({round(place) - 1 for place in np.geomspace(1, count, MOST_ROWS)})


def draw_sample(axes: Any, start: int, sample: SamplePredictions, rows: Sequence[int], size: float) -> bool:
    """One sample with its first token at column `start`; returns whether any prediction was grey."""
    grey = False
    for place, token in enumerate(sample.tokens):
        write(axes, start + place, SAMPLE_ROW, token, PLAIN._replace(weight="bold"), size)
        if place == 0:
            continue  # nothing comes before the first token that could predict it
        counted = sample.counted[place - 1]
        for row, evaluation in enumerate(rows):
            guess = sample.predicted[evaluation][place - 1]
            if guess:
                look = (RIGHT if guess == token else WRONG) if counted else UNCOUNTED
                draw_box(axes, start + place, row, look, side=0.9, linewidth=0.6)
                write(axes, start + place, row, guess, look, size)
                grey |= look is UNCOUNTED
    return grey
