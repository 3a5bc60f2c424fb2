"""Which tokens bear loss: one sample as the model reads it, and above each token what it is to predict there."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..tasks import Vocabulary
from .figure import BLUE, GREY, LIGHT_GREY, blank_figure, shown_token, text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READ, PREDICTED = 0.0, 1.75  # heights of the two rows of boxes, in distances between positions
BELOW, ABOVE = 1.25, 0.5  # of the rows, with room for the note
UNIT = 0.37  # inches from one position to the next
LABELS = {READ: "the model reads", PREDICTED: "and predicts next"}
TEXT = 9.0  # points
PALE = "#9A9A9A"  # the letter of a prediction that bears no loss
BOX = 0.86  # side of a box; 1.0 is the distance between positions


def loss_mask(tokens: np.ndarray, targets: np.ndarray, vocabulary: Vocabulary) -> "Figure":
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
    for place in range(length):
        draw_box(axes, place, READ, text[place], face="white", edge=GREY, color="black")
        if targets[place] >= 0:  # which may be a token that is not in the row: the answer to a prefix
            draw_prediction(axes, place, vocabulary.tokens[targets[place]], counted=True)
        elif place + 1 < length:
            draw_prediction(axes, place, text[place + 1], counted=False)
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


def draw_prediction(axes: Any, place: int, token: str, counted: bool) -> None:
    """The next token above `place`, filled and with an arrow if its prediction counts in the loss."""
    if not counted:
        draw_box(axes, place, PREDICTED, token, face="white", edge=LIGHT_GREY, color=PALE)
        return
    draw_box(axes, place, PREDICTED, token, face=BLUE, edge=BLUE, color="white")
    arrow = {"arrowstyle": "-|>", "color": BLUE, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (place, PREDICTED - 0.48), (place, READ + 0.48), arrowprops=arrow)


def draw_box(axes: Any, x: float, y: float, token: str, *, face: str, edge: str, color: str) -> None:
    """A square with a token in it, centred at (x, y)."""
    from matplotlib.patches import Rectangle

    corner = (x - BOX / 2, y - BOX / 2)
    axes.add_patch(Rectangle(corner, BOX, BOX, facecolor=face, edgecolor=edge, linewidth=0.9))
    axes.text(x, y - 0.02, shown_token(token), ha="center", va="center", fontsize=10, family="monospace", color=color)
