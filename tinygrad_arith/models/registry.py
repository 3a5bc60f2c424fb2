"""The kinds of models, and what a model must know of its task."""

import dataclasses
from typing import Any, NamedTuple

from ..options.kinds import Kinds
from ..options.option import Options

WINDOW = "tinygrad_arith.reproductions.window"  # a package above: only its name is known here

MODELS = Kinds(
    "model",
    "--architecture",
    {
        "gpt": "tinygrad_arith.models.gpt:GPT",
        "window-gpt": f"{WINDOW}:WindowGPT",
        "window-net": f"{WINDOW}:WindowNet",
    },
)


class TaskSizes(NamedTuple):
    """What a task decides of a model.

    vocabulary:      how many tokens there are
    context:         positions of every batch
    longest_context: positions that the model must have room for
    position_count:  position ids are below it
    padding:         the id of the padding token
    """

    vocabulary: int
    context: int
    longest_context: int
    position_count: int
    padding: int


def options_of(options: Options) -> dict[str, Any]:
    """The values of a model's options but for its kind: what its configuration takes."""
    values = dataclasses.asdict(options)
    del values["kind"]
    return values
