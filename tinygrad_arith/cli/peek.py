"""Look at a training batch as the model sees it: `python -m tinygrad_arith.peek`."""

import dataclasses
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from rich.table import Table

from ..options.errors import MisuseError, as_misuse
from ..plots.figure import save_figure
from ..plots.tokens import loss_mask
from ..tasks import Batch, Task, Vocabulary
from ..tasks.answering import AnsweringTask
from ..training.build import make_task
from ..training.config import Config, TrainingOptions, with_options
from ..training.presets import DEFAULT_PRESET
from .console import console, data_table
from .flags import HELP_ALL, Parser, add_config_flags, make_parser, presets_chosen, some_path, value_of, whole

DESCRIPTION = """Show rows of a training batch as the model sees them: at each position the token that it reads, the
token that it is to predict, and whether that prediction counts in the loss."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, make the batch and print it; returns the exit code."""
    preset, config = presets_chosen(argv, ("task",))[-1]
    parser = make_peek_parser(config)
    args = parser.parse_args(argv)
    if args.help_all:
        make_peek_parser(config, more=True).print_help()
        return 0
    with as_misuse():
        config = with_options(preset.config, args.given)
    training = config.training
    if args.picture is not None:
        check_picture(args.picture)
    if not 1 <= args.show <= training.batch:
        parser.error(f"--show {args.show}: must be 1 to {training.batch}, the size of this preset's batches")
    with as_misuse():
        task = make_task(config.task)
    seed = training.seed if args.seed is None else args.seed
    batch = task.train_batch(args.step, training.batch, seed)
    out = console()
    out.print(f"{task.describe()}; step {args.step}, seed {seed}", markup=False)
    for row, title in enumerate(row_titles(task, args.step, training.batch, seed, args.show)):
        out.print(title, markup=False)
        out.print(row_table(batch, row, task.vocabulary))
    if args.picture is not None:  # checked before
        draw(batch.tokens[0], targets_by_place(batch, 0, task.vocabulary), task.vocabulary, args.picture)
        out.print(f"The first row is drawn in {args.picture}", markup=False)
    return 0


def make_peek_parser(config: Config, more: bool = False) -> Parser:
    """All flags of this command, those of this configuration's task among them, or of all tasks (`more`)."""
    parser = make_parser("peek", DESCRIPTION, "view")
    parser.add_flag("--preset NAME", f"the configuration to start from (default: {DEFAULT_PRESET})")
    parser.add_flag("--show INT", "rows of the batch to show", whole, default=1)
    parser.add_flag("--step INT", "training steps before it", whole, default=0)
    (field,) = (field for field in dataclasses.fields(TrainingOptions) if field.name == "seed")
    parser.add_flag("--seed INT", "seed of the training (default: that of the preset)", partial(value_of, field))
    parser.add_flag("--picture FILE", "also draw the first row into this file, such as mask.png", some_path)
    parser.add_flag("--help-all", HELP_ALL)
    add_config_flags(parser, config, sections=("task",), more=more)
    return parser


def row_titles(task: Task, step: int, size: int, seed: int, count: int) -> list[str]:
    """Of the first `count` rows of a batch, the problem with its answer; of a task without problems, their number."""
    if not isinstance(task, AnsweringTask):
        return [f"row {row}" for row in range(1, count + 1)]
    problems = task.train_problems(step, size, seed)[:count]
    texts = zip(task.text(problems), task.statements(problems), strict=True)
    return [f"{text.prompt}{text.answer}   {statement}" for text, statement in texts]


def targets_by_place(batch: Batch, row: int, vocabulary: Vocabulary) -> np.ndarray:
    """What is to be predicted at each position of a row, -1 where that bears no loss: int64 (T,).

    Where a row is a prefix, its one target belongs to its last token.
    """
    tokens, targets = batch.tokens[row], batch.targets[row]
    if len(targets) == len(tokens):
        return targets
    last = np.flatnonzero(tokens != vocabulary.padding)[-1]
    by_place = np.full_like(tokens, -1)  # (T,)
    by_place[last] = targets[0]
    return by_place


def row_table(batch: Batch, row: int, vocabulary: Vocabulary) -> Table:
    """One row of a batch: a line per position."""
    columns = ["position", "token", "id", "target", "loss"]
    positions = range(batch.tokens.shape[1]) if batch.positions is None else batch.positions[row]
    targets = targets_by_place(batch, row, vocabulary)  # (T,)
    lines = []
    for place, position in enumerate(positions):
        token, target = batch.tokens[row, place], targets[place]
        bears_loss = target >= 0
        cells = [str(position), vocabulary.tokens[token], str(token)]
        cells += [vocabulary.tokens[target], "yes"] if bears_loss else ["", ""]
        if batch.key_mask is not None:
            cells.append("yes" if batch.key_mask[row, place] else "no")
        lines.append(cells)
    if batch.key_mask is not None:
        columns.append("attended to")
    return data_table("", columns, lines)


def check_picture(path: Path) -> None:
    """Raise MisuseError where no picture can be written, whatever its format: a folder, or nothing in a folder."""
    if path.is_dir() or not path.name:
        raise MisuseError(f"--picture {path}: is a folder; name a file, such as mask.png")
    above = next((folder for folder in path.parents if os.path.lexists(folder)), None)
    if above is not None and not above.is_dir():
        raise MisuseError(f"--picture {path}: {above} is no folder")


def draw(tokens: np.ndarray, targets: np.ndarray, vocabulary: Vocabulary, path: Path) -> None:
    """Draw a row, tokens and targets (T,), with its loss mask; raises MisuseError for a suffix of no picture format."""
    try:
        save_figure(loss_mask(tokens, targets, vocabulary), path)
    except ValueError as error:
        raise MisuseError(f"--picture {path}: {error}") from error
