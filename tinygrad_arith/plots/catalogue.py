"""Every picture that `python -m tinygrad_arith.plot` draws: its name, what a run must have for it, how it is drawn."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..comparisons.finished_runs import alike, group_labels
from ..models.attention_maps import has_attention
from ..options.errors import MisuseError
from ..run_files.checkpoints import FOLDER as CHECKPOINTS
from ..run_files.checkpoints import complete_checkpoints
from ..run_files.predictions import FILE_NAME as PREDICTIONS
from ..tasks.answering import AnsweringTask
from ..tasks.metrics import Grid, Groups
from ..training.runs import RunRecord
from .accuracy_by_length import accuracy_by_length
from .accuracy_by_train_size import accuracy_by_train_size
from .accuracy_curves import accuracy_curves
from .answer_positions import answer_positions
from .attention_maps import attention_maps
from .grokking import grokking
from .group_scores import group_scores
from .length_heatmap import heatmap_name, length_heatmap
from .losses import losses
from .run_data import RunData
from .series import Curve, Series
from .token_picture import token_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Figures = dict[str, "Figure"]  # by the name of the file, without its suffix
NOT_EVALUATED, NO_PROBLEMS = "it was not evaluated yet", "its task is none of problems with answers"


@dataclass(frozen=True)
class Picture:
    """One entry of the catalogue.

    lacks:    why it cannot be drawn of these runs, as the end of a sentence; None if it can; raises UserError where
              that is no lack but a damaged file
    draw:     draws it; raises UserError, too
    together: all runs share one picture; else each run has its own and all functions get one run
    check:    raises MisuseError if the run has not what the flags choose for this picture
    """

    name: str
    shows: str
    lacks: Callable[[Any], str | None]
    draw: Callable[[Any], Figures]
    together: bool = False
    check: Callable[[RunData], Any] | None = None


# Several runs in one picture


def series_of(runs: Sequence[RunData], curve: Callable[[RunData], Curve], without: str = "") -> list[Series]:
    """A series for each group of runs that differ in their seed only (and in the task's option `without`)."""

    def record(run: RunData) -> RunRecord:
        """What the run was made with, as far as it counts."""
        return dataclasses.replace(run.record, config=leveled(run.record.config, without))

    groups = alike(runs, record)
    labels = short_labels([record(members[0]) for members in groups])
    return [
        Series(label, [curve(run) for run in members], seeds=len({run.record.config.training.seed for run in members}))
        for label, members in zip(labels, groups, strict=True)
    ]


def short_labels(records: Sequence[RunRecord]) -> list[str]:
    """What tells the groups apart: their names, or of one name only the options in which they differ."""
    labels = group_labels(records)
    if len(records) == 1 or len({record.name for record in records}) > 1:
        return labels
    return [label.removeprefix(f"{records[0].name} (").removesuffix(")") for label in labels]


def leveled(config: Any, option: str) -> Any:
    """The configuration with one of the task's options at its default, so that runs that differ in it are alike."""
    if not option:
        return config
    default = next(field.default for field in dataclasses.fields(config.task) if field.name == option)
    return dataclasses.replace(config, task=dataclasses.replace(config.task, **{option: default}))


def with_evaluations(runs: Sequence[RunData]) -> list[RunData]:
    """The runs that were evaluated at least once; of runs with different goals those with the first one's."""
    found = [run for run in runs if run.evaluated]
    return [run for run in found if run.goal == found[0].goal]


def lacks_evaluations(runs: Sequence[RunData]) -> str | None:
    """For what is drawn over training."""
    return None if with_evaluations(runs) else "no run was evaluated yet"


def draw_steps(runs: Sequence[RunData]) -> Figures:
    """The goal metric against steps."""
    return {"accuracy_steps": over_training(runs, "step", "training step")}


def draw_samples(runs: Sequence[RunData]) -> Figures:
    """The goal metric against training samples, which runs with batches of different sizes have in common."""
    return {"accuracy_samples": over_training(runs, "examples", "training samples seen")}


def over_training(runs: Sequence[RunData], name: str, x_label: str) -> "Figure":
    """The goal metric against a number of the metrics."""
    chosen = with_evaluations(runs)
    series = series_of(chosen, lambda run: run.over_training(name))
    return accuracy_curves(series, x_label, goal=chosen[0].goal)


def with_train_size(runs: Sequence[RunData]) -> list[RunData]:
    """The finished runs whose training problems can be counted."""
    return [run for run in runs if run.test_value is not None and run.task.train_size is not None]


def lacks_train_sizes(runs: Sequence[RunData]) -> str | None:
    """For the sample efficiency of formats."""
    sizes = {run.task.train_size for run in with_train_size(runs)}
    return None if len(sizes) > 1 else "needs finished runs with different --train-size"


def draw_train_sizes(runs: Sequence[RunData]) -> Figures:
    """Exact match against the number of distinct training problems."""

    def point(run: RunData) -> Curve:
        """The run as one dot."""
        return Curve(np.array([run.task.train_size], dtype=np.float64), np.array([run.test_value]))

    return {"accuracy_train_size": accuracy_by_train_size(series_of(with_train_size(runs), point, "train_size"))}


def trained_length(run: RunData) -> int | None:
    """The longest problems in training; None where problems have no length, or are none."""
    return run.task.trained_length if isinstance(run.task, AnsweringTask) else None


def with_digits(runs: Sequence[RunData]) -> list[RunData]:
    """The runs with a model whose operands have digits."""
    return [run for run in runs if trained_length(run) is not None and lacks_model(run) is None]


def with_lengths(runs: Sequence[RunData]) -> list[RunData]:
    """Those of them with a length that has problems enough."""
    return [run for run in with_digits(runs) if run.tests_by_length]


def lacks_lengths(runs: Sequence[RunData]) -> str | None:
    """For accuracy against operand length, where one range is shaded as trained on."""
    if all(trained_length(run) is None for run in runs):
        return "the task's operands have no digits"
    trained = sorted({trained_length(run) or 0 for run in with_digits(runs)})
    if not trained:
        return "no run has a checkpoint yet"
    if len(trained) > 1:
        return f"the runs were trained on different --digits: {trained}"
    return None if with_lengths(runs) else f"no length has {runs[0].fewest} test problems"


def draw_lengths(runs: Sequence[RunData]) -> Figures:
    """Exact match against operand length."""
    chosen = with_lengths(runs)
    digits, fewest = trained_length(chosen[0]) or 0, chosen[0].fewest
    figure = accuracy_by_length(series_of(chosen, lambda run: run.by_length), digits, fewest)
    return {"accuracy_length" + asked_for(chosen[0]): figure}


def asked_for(run: RunData) -> str:
    """What a file's name says of `--count`, so that a quick look does not replace the picture of all problems."""
    return "" if run.choices.count is None else f"_{run.choices.count}_problems"


# A picture for each run


def lacks_model(run: RunData) -> str | None:
    """For all that the model is asked anew. Raises UserError if there are checkpoints, but none that can be used."""
    if not complete_checkpoints(run.path / CHECKPOINTS):
        return "it has no checkpoint yet"
    _ = run.loaded
    return None


def lacks_breakdown(kind: type, without: str) -> Callable[[RunData], str | None]:
    """For pictures of a breakdown: a function from a run to what it lacks, in words `without`."""
    return lambda run: lacks_model(run) or (None if kind in run.kinds_of_breakdown.values() else without)


def draw_heatmap(run: RunData) -> Figures:
    """Exact match by the lengths of both operands."""
    grids = [part for part in run.metrics.breakdowns.values() if isinstance(part, Grid)]
    return {heatmap_name("test", count=run.choices.count): length_heatmap(g.correct, g.count) for g in grids}


def draw_groups(run: RunData) -> Figures:
    """Exact match by each group of the task: a picture of the longest carry chain, ..."""
    return {
        name + asked_for(run): group_scores(part.scores, part.title)
        for name, part in run.metrics.breakdowns.items()
        if isinstance(part, Groups) and part.problems and part.scores
    }


def with_positions(run: RunData) -> list[dict[str, Any]]:
    """The rows of the metrics that tell of every place in the answer."""
    return [row for row in run.evaluated if row.get("by_position")]


def lacks_positions(run: RunData) -> str | None:
    """For the places of the answer over training."""
    rows = with_positions(run)
    if not rows:
        return lacks_row(run, "by_position")
    return None if len(rows[0]["by_position"]) > 1 else "its answers are one token each"


def lacks_row(run: RunData, name: str) -> str:
    """Why no row of the metrics tells of `name`, which an evaluation measures."""
    return f"its metrics.jsonl tells no {name}" if run.evaluated else NOT_EVALUATED


def draw_positions(run: RunData) -> Figures:
    """Right tokens at each place of the answer."""
    rows = with_positions(run)
    shares = np.array([row["by_position"] for row in rows], dtype=np.float64)  # (E, places)
    return {"answer_positions": answer_positions([row["step"] for row in rows], shares)}


def lacks_attention(run: RunData) -> str | None:
    """For attention maps."""
    if not isinstance(run.task, AnsweringTask):
        return NO_PROBLEMS
    return lacks_model(run) or (None if has_attention(run.loaded.model) else "its model has no attention")


def draw_attention(run: RunData) -> Figures:
    """The attention maps of one problem."""
    return {"attention": attention_maps(*run.attention())}


def lacks_predictions(run: RunData) -> str | None:
    """For the token picture."""
    if run.predictions is not None:
        return None
    return NOT_EVALUATED if (run.path / PREDICTIONS).is_file() else f"it has no {PREDICTIONS}"


def check_sample(run: RunData) -> None:
    """Raise MisuseError if the file does not follow so many samples."""
    assert run.predictions is not None  # `lacks_predictions` has looked
    sample, followed = run.choices.sample, len(run.predictions.tokens)
    if sample > followed:
        raise MisuseError(f"--sample {sample}: {run.path / PREDICTIONS} follows {followed} samples")


def draw_tokens(run: RunData) -> Figures:
    """The samples from the one that was asked for on, as many as fit."""
    found, first = run.predictions, run.choices.sample - 1
    assert found is not None  # `lacks_predictions` has looked, and `check_sample` how many there are
    return {"tokens": token_picture([found.sample(i) for i in range(first, len(found.tokens))], found.steps)}


def lacks_validation_loss(run: RunData) -> str | None:
    """For the two losses."""
    return None if any("validation_loss" in row for row in run.rows) else lacks_row(run, "validation_loss")


def draw_losses(run: RunData) -> Figures:
    """The two losses over training."""
    return {"losses": losses(run.rows)}


def lacks_numbers(run: RunData) -> str | None:
    """For the picture of grokking."""
    if not isinstance(run.task, AnsweringTask) or run.task.number_tokens() is None:
        return "its tokens are no numbers modulo p, as those of modular-addition are"
    lacking = lacks_validation_loss(run) or lacks_model(run)
    return lacking or (None if hasattr(run.loaded.model, "token_embedding") else "its model embeds no tokens")


def draw_grokking(run: RunData) -> Figures:
    """The two losses and the Fourier spectrum of the embedding."""
    return {"grokking": grokking(run.rows, run.number_embeddings())}


PICTURES = (
    Picture("steps", "exact match on validation problems over steps", lacks_evaluations, draw_steps, together=True),
    Picture("samples", "the same over training samples seen", lacks_evaluations, draw_samples, together=True),
    Picture("train-size", "test exact match by --train-size", lacks_train_sizes, draw_train_sizes, together=True),
    Picture("length", "exact match by operand length, up to --longest", lacks_lengths, draw_lengths, together=True),
    Picture(
        "heatmap",
        "exact match by the lengths of both operands",
        lacks_breakdown(Grid, "the task has not two operands of digits"),
        draw_heatmap,
        check=RunData.check_count,
    ),
    Picture(
        "groups",
        "exact match by operand length, longest carry chain, ...",
        lacks_breakdown(Groups, "its evaluations are not broken down"),
        draw_groups,
        check=RunData.check_count,
    ),
    Picture("positions", "right tokens at each place of the answer over steps", lacks_positions, draw_positions),
    Picture(
        "attention",
        "attention of each layer and head on one problem",
        lacks_attention,
        draw_attention,
        check=lambda run: run.problem,
    ),
    Picture(
        "tokens",
        "the predicted tokens of a few samples, right or wrong, over steps",
        lacks_predictions,
        draw_tokens,
        check=check_sample,
    ),
    Picture(
        "losses",
        "loss in training and on validation problems, both axes logarithmic",
        lacks_validation_loss,
        draw_losses,
    ),
    Picture("grokking", "both losses and the Fourier spectrum of the embedding", lacks_numbers, draw_grokking),
)
