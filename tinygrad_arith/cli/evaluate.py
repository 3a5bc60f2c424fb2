"""Measure a trained model on problems it has never seen: `python -m tinygrad_arith.evaluate RUN`."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..options.errors import MisuseError
from ..plots.breakdowns import heatmap_name, length_heatmap
from ..plots.figure import name_run, save_figure
from ..tasks import Task
from ..tasks.answering import AnswerMetrics, answering
from ..tasks.answers import Answer, as_preview, sample_answer
from ..tasks.metrics import Metrics
from ..training.runs import LoadedRun, load_run, newest_run
from .console import console, only_json, only_warn, print_facts, print_json
from .evaluation_report import evaluation_tables, evaluation_values, further_facts, goal_facts, preview_table
from .flags import Parser, add_best_flag, add_device_flag, make_parser, positive, some_path

DESCRIPTION = """Measure a trained model, by the goal metric of its task, on examples that it has never seen. Exact
match is also told by what sets problems apart (operand length, longest carry chain, ...) and by place in the answer. A
heat map over the lengths of both operands, where there are two, goes into the run's plots/."""


@dataclass(frozen=True)
class Measured:
    """What was measured on a split, of problems of the run's own digits or of other ones."""

    run: LoadedRun
    task: Task
    asked: argparse.Namespace  # what the flags say: `split`, `digits`, `count`
    metrics: Metrics
    shown: list[Answer]


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, evaluate the run, print and draw; returns the exit code."""
    args = make_evaluate_parser().parse_args(argv)
    with only_json(args.json):
        measured = evaluate(args)
        if args.json:
            print_json(as_values(measured, draw(measured)))
            return 0
        print_tables(measured)
        picture = draw(measured)  # last, since the figures are worth having without it
        if picture is not None:
            print(f"The heat map over the operands' lengths is {picture}")
    return 0


def make_evaluate_parser() -> Parser:
    """All flags of this command."""
    parser = make_parser("evaluate", DESCRIPTION)
    run = "directory of the run, such as runs/binary-reversed-seed1 (default: the newest in runs/)"
    parser.add_flag("run RUN", run, some_path, nargs="?")
    kept = "which of the problems that were kept from training"
    parser.add_flag("--split", kept, choices=("test", "validation"), default="test")
    parser.add_flag("--count INT", "how many problems of the split (default: all of them)", positive)
    digits = "operands of at most so many digits, up to --longest of the training (default: as trained)"
    parser.add_flag("--digits INT", digits, positive)
    parser.add_flag("--show INT", "list so many problems with the model's answers, wrong ones first", positive)
    parser.add_flag("--json", "print one JSON object instead of tables")
    add_best_flag(parser)
    add_device_flag(parser)
    return parser


def evaluate(args: argparse.Namespace) -> Measured:
    """Measure what the flags ask for. Raises MisuseError if there are no such problems, or not so many."""
    run = load_run(newest_run("RUN") if args.run is None else args.run, args.device, best=args.best)
    task: Any = run.task
    if args.digits is not None:
        try:
            task = answering(run.task, "--digits").with_digits(args.digits)
        except ValueError as error:
            raise MisuseError(str(error)) from error
    check_count(task, args.split, args.count)
    metrics = task.evaluate(run.model, args.split, args.count)
    shown = [] if args.show is None else answers_to_show(run, task, metrics, args.show)
    return Measured(run, task, args, metrics, shown)


def check_count(task: Task, split: str, count: int | None) -> None:
    """Raise MisuseError if the split holds fewer than `count` examples, or none at all."""
    size = task.split_size(split)
    if not size:
        digits = getattr(task.config, "digits", 0)
        raise MisuseError(f"--split {split}: holds no problem of at most {digits} digits; choose more --digits")
    if count is not None and count > size:
        raise MisuseError(f"--count {count}: the {split} split holds {size:,} problems, not {count:,}")


def answers_to_show(run: LoadedRun, task: Task, metrics: Metrics, count: int) -> list[Answer]:
    """What the model writes for `count` of the problems, those that it got wrong first."""
    asked = answering(task, "--show")
    assert isinstance(metrics, AnswerMetrics)  # as such a task gives them
    order = metrics.right.argsort(kind="stable")[:count]  # wrong before right, else as they came
    return [sample_answer(run.model, asked, metrics.problems[i : i + 1]) for i in order]


def draw(measured: Measured) -> Path | None:
    """Draw exact match by both operands' lengths into the run's `plots/`; returns the picture's path.

    None, and no picture, where the task has no two operands of some length each, or, with a warning, where it cannot be
    written.
    """
    grid, asked = measured.metrics.grids.get("by_operand_lengths"), measured.asked
    if grid is None:
        return None
    name = heatmap_name(asked.split, asked.digits, asked.count)
    with only_warn("the heat map over the operands' lengths"):
        figure = name_run(length_heatmap(grid, split=asked.split), measured.run.path.resolve().name)
        return save_figure(figure, measured.run.path / "plots" / f"{name}.png")
    return None


def as_values(measured: Measured, picture: Path | None) -> dict[str, Any]:
    """Everything as plain values."""
    asked = measured.asked
    values: dict[str, Any] = {"run": str(measured.run.path), "step": measured.run.step, "split": asked.split}
    if asked.digits is not None:
        values["digits"] = asked.digits
    values |= evaluation_values(measured.metrics)
    if measured.shown:
        values["problems"] = [asdict(answer) | {"right": answer.right} for answer in measured.shown]
    if picture is not None:
        values["picture"] = str(picture)
    return values


def print_tables(measured: Measured) -> None:
    """Print the tables, then the whole in a few lines."""
    metrics, run = measured.metrics, measured.run
    for table in evaluation_tables(metrics):
        console().print(table)
    if measured.shown:
        console().print(preview_table(as_preview("problems, wrong answers first", measured.shown)))
    facts = [("run", f"{run.path}, step {run.step:,}"), ("task", measured.task.describe())]
    print_facts([*facts, *goal_facts(metrics, f"{measured.asked.split} {metrics.examples}"), *further_facts(metrics)])
