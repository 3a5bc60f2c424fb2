"""Every picture that `python -m tinygrad_arith.plot` draws: its name, what a run must have for it, how it is drawn."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..comparisons.finished_runs import OPTIONS_APART_FROM_GROUP, alike, group_labels
from ..models.attention_maps import has_attention
from ..options.errors import MisuseError
from ..run_files.predictions import FILE_NAME as PREDICTIONS
from ..training.runs import RunRecord
from .accuracy import accuracy_by_length, accuracy_by_train_size, accuracy_curves
from .answer_positions import answer_positions
from .attention_maps import attention_maps
from .breakdowns import group_scores, heatmap_name, length_heatmap
from .figure import Figure, name_run
from .losses import grokking, losses
from .run_data import Lacking, RunData
from .series import Curve, Series
from .tokens import token_picture

Figures = dict[str, Callable[[], Figure]]  # by the name of the file, without its suffix: what draws it


@dataclass(frozen=True)
class Picture:
    """One entry of the catalogue.

    find:     what there is to draw. Raises Lacking where the runs have not what it needs, MisuseError where they have
              not what the flags choose, another UserError where a file is damaged
    together: all runs share one picture; else each run has its own, and `find` gets one run
    """

    name: str
    shows: str
    find: Callable[[Any], Figures]
    together: bool = False


# Several runs in one picture


def series_of(
    runs: Sequence[RunData], curve: Callable[[RunData], Curve], apart: frozenset[str] = OPTIONS_APART_FROM_GROUP
) -> list[Series]:
    """A series for each group of runs that differ in their seed only, or in the options `apart`."""
    groups = alike(runs, apart)
    labels = short_labels([members[0].record for members in groups], apart)
    return [
        Series(label, [curve(run) for run in members], seeds=len({run.record.config.training.seed for run in members}))
        for label, members in zip(labels, groups, strict=True)
    ]


def short_labels(records: Sequence[RunRecord], apart: frozenset[str] = OPTIONS_APART_FROM_GROUP) -> list[str]:
    """What tells the groups apart: their names, or of one name only the options in which they differ."""
    labels = group_labels(records, apart)
    if len(records) == 1 or len({record.name for record in records}) > 1:
        return labels
    return [label.removeprefix(f"{records[0].name} (").removesuffix(")") for label in labels]


def find_over_training(runs: Sequence[RunData], file: str, field: str, x_label: str) -> Figures:
    """The goal metric of all runs that have the first one's goal, against a number of the metrics."""
    found = [run for run in runs if run.evaluated]
    if not found:
        raise Lacking("no run was evaluated yet")
    found = [run for run in found if run.goal == found[0].goal]
    series = series_of(found, lambda run: Curve.of(run.evaluated, field, run.goal.field))
    return {file: lambda: accuracy_curves(series, x_label, found[0].goal)}


def with_tasks(runs: Sequence[RunData]) -> list[RunData]:
    """The runs whose task can be made; raises Lacking if there is none."""
    found = []
    for run in runs:
        with contextlib.suppress(Lacking):
            _ = run.task
            found.append(run)
    if not found:
        raise Lacking(f"its task cannot be made: {runs[0].why_no_task}")
    return found


def find_train_sizes(runs: Sequence[RunData]) -> Figures:
    """The goal metric of all runs that have the first one's goal, against the number of training problems."""
    found = [run for run in with_tasks(runs) if run.test_value is not None and run.task.train_size is not None]
    found = [run for run in found if run.goal == found[0].goal]
    if len({run.task.train_size for run in found}) < 2:
        raise Lacking("needs finished runs with different --train-size")

    def dot(run: RunData) -> Curve:
        """The run as a curve of one point."""
        return Curve(*np.array([[run.task.train_size], [run.test_value]], dtype=np.float64))

    series = series_of(found, dot, OPTIONS_APART_FROM_GROUP | {"train_size"})
    return {"accuracy_train_size": lambda: accuracy_by_train_size(series, found[0].goal)}


def find_lengths(runs: Sequence[RunData]) -> Figures:
    """Exact match against operand length, where one range is shaded as trained on."""
    runs = with_tasks(runs)
    found = [run for run in runs if run.trained_length is not None]
    if not found:
        raise Lacking("the task's operands have no digits")
    found = [run for run in found if not isinstance(run.loaded, Lacking) and run.model]
    if not found:
        raise Lacking("no run has a checkpoint yet")
    trained = sorted({run.trained_length or 0 for run in found})
    if len(trained) > 1:
        raise Lacking(f"the runs were trained on different --digits: {trained}")
    found, fewest = [run for run in found if run.tests_by_length], runs[0].fewest
    if not found:
        raise Lacking(f"no length has {fewest} test problems")
    name = "accuracy_length" + asked_for(found[0])
    return {name: lambda: accuracy_by_length(series_of(found, lambda run: run.by_length), trained[0], fewest)}


def asked_for(run: RunData) -> str:
    """What a file's name says of `--count`, so that a quick look does not replace the picture of all problems."""
    return "" if run.choices.count is None else f"_{run.choices.count}_problems"


# A picture for each run


def of_each(find: Callable[[RunData], Figures]) -> Callable[[RunData], Figures]:
    """What finds the pictures of a run, made to write the run's name above each."""

    def found(run: RunData) -> Figures:
        """The same pictures, with the name."""
        return {file: partial(named, draw, run) for file, draw in find(run).items()}

    def named(draw: Callable[[], Figure], run: RunData) -> Figure:
        """One of them, drawn."""
        return name_run(draw(), run.path.resolve().name)

    return found


def find_heatmap(run: RunData) -> Figures:
    """Exact match by the lengths of both operands."""
    names = list(run.metrics_of_one.grids)
    if not names:
        raise Lacking("the task has not two operands of digits")
    run.check_count()
    return {heatmap_name("test", count=run.choices.count): lambda: length_heatmap(run.metrics.grids[names[0]])}


def find_groups(run: RunData) -> Figures:
    """Exact match by each group of the task: a picture of the longest carry chain, ..."""
    names = [name for name, groups in run.metrics_of_one.groups.items() if groups.problems]
    if not names:
        raise Lacking("its task breaks an evaluation down by nothing")
    run.check_count()

    def draw(name: str) -> Figure:
        """One of the groups of all test problems."""
        return group_scores(run.metrics.groups[name])

    return {name + asked_for(run): partial(draw, name) for name in names}


def find_positions(run: RunData) -> Figures:
    """Right tokens at each place of the answer over training."""
    rows = run.rows_with("by_position")
    shares = np.array([row["by_position"] for row in rows], dtype=np.float64)  # (E, places)
    if shares.shape[1] == 1:
        raise Lacking("its answers are one token each")
    return {"answer_positions": lambda: answer_positions([row["step"] for row in rows], shares)}


def find_attention(run: RunData) -> Figures:
    """The attention maps of one problem."""
    _ = run.answering
    if not has_attention(run.model):
        raise Lacking("its model has no attention")
    _ = run.problem  # of which the flags may say what is none
    return {"attention": lambda: attention_maps(*run.attention())}


def find_tokens(run: RunData) -> Figures:
    """The samples from the one that was asked for on, as many as fit."""
    path, found, sample = run.path / PREDICTIONS, run.predictions, run.choices.sample
    if found is None:
        raise Lacking("it was not evaluated yet" if path.is_file() else f"it has no {PREDICTIONS}")
    if sample > len(found.tokens):
        raise MisuseError(f"--sample {sample}: {path} follows {len(found.tokens)} samples")
    samples = [found.sample(i) for i in range(sample - 1, len(found.tokens))]
    return {"tokens": lambda: token_picture(samples, found.steps)}


def find_losses(run: RunData) -> Figures:
    """The two losses over training."""
    run.rows_with("validation_loss")
    return {"losses": lambda: losses(run.rows)}


def find_grokking(run: RunData) -> Figures:
    """The two losses and the Fourier spectrum of the embedding."""
    tokens = run.answering.number_tokens()
    if tokens is None:
        raise Lacking("its tokens are no numbers modulo p, as those of modular-addition are")
    run.rows_with("validation_loss")
    if not hasattr(run.model, "token_embedding"):
        raise Lacking("its model embeds no tokens")
    return {"grokking": lambda: grokking(run.rows, to_numpy(run.model.token_embedding.weight.array)[tokens])}


PICTURES = (
    Picture(
        "steps",
        "the goal metric, such as exact match, on validation problems over steps",
        partial(find_over_training, file="accuracy_steps", field="step", x_label="training step"),
        together=True,
    ),
    Picture(
        "samples",
        "the same over training samples seen",  # which runs with batches of different sizes have in common
        partial(find_over_training, file="accuracy_samples", field="examples", x_label="training samples seen"),
        together=True,
    ),
    Picture("train-size", "the goal metric of the test by --train-size", find_train_sizes, together=True),
    Picture("length", "exact match by operand length, up to --longest", find_lengths, together=True),
    Picture("heatmap", "exact match by the lengths of both operands", of_each(find_heatmap)),
    Picture("groups", "exact match by operand length, longest carry chain, ...", of_each(find_groups)),
    Picture("positions", "right tokens at each place of the answer over steps", of_each(find_positions)),
    Picture("attention", "attention of each layer and head on one problem", of_each(find_attention)),
    Picture("tokens", "the predicted tokens of a few samples, right or wrong, over steps", of_each(find_tokens)),
    Picture("losses", "loss in training and on validation problems, both axes logarithmic", of_each(find_losses)),
    Picture("grokking", "both losses and the Fourier spectrum of the embedding", of_each(find_grokking)),
)
