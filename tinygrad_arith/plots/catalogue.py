"""Every picture that `python -m tinygrad_arith.plot` draws: its name, what a run must have for it, how it is drawn."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..comparisons.finished_runs import alike, group_labels
from ..options.errors import MisuseError
from ..run_files.checkpoints import FOLDER as CHECKPOINTS
from ..run_files.checkpoints import complete_checkpoints
from ..run_files.predictions import FILE_NAME as PREDICTIONS
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
NOT_EVALUATED = "it was not evaluated yet"


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
    """The runs that were evaluated at least once."""
    return [run for run in runs if run.evaluated]


def lacks_evaluations(runs: Sequence[RunData]) -> str | None:
    """For what is drawn over training."""
    return None if with_evaluations(runs) else "no run was evaluated yet"


def draw_steps(runs: Sequence[RunData]) -> Figures:
    """Exact match against steps."""
    series = series_of(with_evaluations(runs), lambda run: run.over_training("step"))
    return {"accuracy_steps": accuracy_curves(series, "training step")}


def draw_samples(runs: Sequence[RunData]) -> Figures:
    """Exact match against training samples, which runs with batches of different sizes have in common."""
    series = series_of(with_evaluations(runs), lambda run: run.over_training("examples"))
    return {"accuracy_samples": accuracy_curves(series, "training samples seen")}


def with_train_size(runs: Sequence[RunData]) -> list[RunData]:
    """The finished runs whose training problems can be counted."""
    return [run for run in runs if run.test_exact_match is not None and run.task.train_size is not None]


def lacks_train_sizes(runs: Sequence[RunData]) -> str | None:
    """For the sample efficiency of formats."""
    sizes = {run.task.train_size for run in with_train_size(runs)}
    return None if len(sizes) > 1 else "needs finished runs with different --train-size"


def draw_train_sizes(runs: Sequence[RunData]) -> Figures:
    """Exact match against the number of distinct training problems."""

    def point(run: RunData) -> Curve:
        """The run as one dot."""
        return Curve(np.array([float(run.task.train_size)]), np.array([run.test_exact_match]))

    return {"accuracy_train_size": accuracy_by_train_size(series_of(with_train_size(runs), point, "train_size"))}


def with_digits(runs: Sequence[RunData]) -> list[RunData]:
    """The runs with a model whose operands have digits."""
    return [run for run in runs if run.record.config.task.of_numbers and lacks_model(run) is None]


def with_lengths(runs: Sequence[RunData]) -> list[RunData]:
    """Those of them with a length that has problems enough."""
    return [run for run in with_digits(runs) if run.problems_by_length]


def lacks_lengths(runs: Sequence[RunData]) -> str | None:
    """For accuracy against operand length, where one range is shaded as trained on."""
    if not any(run.record.config.task.of_numbers for run in runs):
        return "the task's operands have no digits"
    trained = sorted({run.record.config.task.digits for run in with_digits(runs)})
    if not trained:
        return "no run has a checkpoint yet"
    if len(trained) > 1:
        return f"the runs were trained on different --digits: {trained}"
    return None if with_lengths(runs) else f"no length has {runs[0].fewest} test problems"


def draw_lengths(runs: Sequence[RunData]) -> Figures:
    """Exact match against operand length."""
    chosen = with_lengths(runs)
    digits, fewest = chosen[0].record.config.task.digits, chosen[0].fewest
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


def lacks_operands(run: RunData) -> str | None:
    """For the heat map."""
    lengths = run.task.operand_lengths(run.first_problem())
    return "the task has not two operands of digits" if lengths is None else lacks_model(run)


def draw_heatmap(run: RunData) -> Figures:
    """Exact match by the lengths of both operands."""
    assert run.breakdown.by_lengths is not None  # `lacks_operands` has looked
    return {heatmap_name("test", count=run.choices.count): length_heatmap(*run.breakdown.by_lengths)}


def draw_groups(run: RunData) -> Figures:
    """Exact match by each group of the task: a picture of the longest carry chain, ..."""
    found = run.breakdown.by_group.items()
    return {
        "by_" + title.replace(" ", "_") + asked_for(run): group_scores(scores, title)
        for title, scores in found
        if scores
    }


def with_positions(run: RunData) -> list[dict[str, Any]]:
    """The rows of the metrics that tell of every place in the answer."""
    return [row for row in run.evaluated if row.get("by_position")]


def lacks_positions(run: RunData) -> str | None:
    """For the places of the answer over training."""
    if run.task.answer_length == 1:
        return "its answers are one token each"
    return None if with_positions(run) else lacks_row(run, "by_position")


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
    return "a window-net has no attention" if run.record.config.model.architecture == "window-net" else lacks_model(run)


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


def lacks_modulus(run: RunData) -> str | None:
    """For the picture of grokking."""
    if run.record.config.task.task != "modular-addition":
        return "the task is not modular-addition"
    return lacks_validation_loss(run) or lacks_model(run)


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
        lacks_operands,
        draw_heatmap,
        check=lambda run: run.test_problems,
    ),
    Picture(
        "groups",
        "exact match by operand length, longest carry chain, ...",
        lacks_model,
        draw_groups,
        check=lambda run: run.test_problems,
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
    Picture("grokking", "both losses and the Fourier spectrum of the embedding", lacks_modulus, draw_grokking),
)
