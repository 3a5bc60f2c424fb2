"""Measure a trained model on problems it has never seen: `python -m tinygrad_arith.evaluate RUN`."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygrad_arith.cli.console import console, only_json, only_warn, print_facts, print_json
from tinygrad_arith.cli.flags import Parser, add_device_flag, make_parser, positive, some_path
from tinygrad_arith.options.errors import MisuseError

if TYPE_CHECKING:
    from tinygrad_arith.tasks import Task
    from tinygrad_arith.tasks.answers import Answer
    from tinygrad_arith.tasks.metrics import Metrics
    from tinygrad_arith.training.runs import LoadedRun

DESCRIPTION = """Measure a trained model, by the goal metric of its task, on examples that it has never seen. Exact
match is also told by what sets problems apart (operand length, longest carry chain, ...) and by place in the answer. A
heat map over the lengths of both operands, where there are two, goes into the run's plots/."""


@dataclass(frozen=True)
class Measured:
    """What was measured on a split, of problems of the run's own digits or of other ones."""

    run: "LoadedRun"
    task: "Task"
    asked: argparse.Namespace  # what the flags say: `split`, `digits`, `count`
    metrics: "Metrics"
    shown: "list[Answer]"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, evaluate the run, print and draw; returns the exit code."""
    args = make_evaluate_parser().parse_args(argv)
    with only_json(args.json):
        evaluate(args)
    return 0


def evaluate(args: argparse.Namespace) -> None:
    """Evaluate, print and draw what the flags ask for."""
    from tinygrad_arith.training.runs import load_run

    run = load_run(args.run, args.device)
    task = choose_task(run, args.digits)
    check_count(task, args.split, args.count)
    metrics = task.evaluate(run.model, args.split, args.count)
    shown = [] if args.show is None else answers_to_show(run, task, metrics, args.show)
    measured = Measured(run, task, args, metrics, shown)
    if args.json:
        print_json(as_values(measured, draw(measured)))
        return
    print_tables(measured)
    picture = draw(measured)  # last, since the figures are worth having without it
    if picture is not None:
        print(f"The heat map over the operands' lengths is {picture}")


def make_evaluate_parser() -> Parser:
    """All flags of this command."""
    parser = make_parser("evaluate", DESCRIPTION)
    parser.add_argument(
        "run", type=some_path, metavar="RUN", help="directory of the run, such as runs/binary-reversed-seed1"
    )
    parser.add_argument(
        "--split",
        choices=("test", "validation"),
        default="test",
        help="which of the problems that were kept from training (default: test)",
    )
    parser.add_argument(
        "--count", type=positive, metavar="INT", help="how many problems of the split (default: all of them)"
    )
    parser.add_argument(
        "--digits",
        type=positive,
        metavar="INT",
        help="operands of at most so many digits, up to --longest of the training (default: as trained)",
    )
    parser.add_argument(
        "--show", type=positive, metavar="INT", help="list so many problems with the model's answers, wrong ones first"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    add_device_flag(parser)
    return parser


def choose_task(run: "LoadedRun", digits: int | None) -> "Any":
    """The run's task, for operands of at most `digits` digits if given; MisuseError if it cannot have so many."""
    if digits is None:
        return run.task
    from tinygrad_arith.tasks.answering import answering

    try:
        return answering(run.task, "--digits").with_digits(digits)
    except ValueError as error:
        raise MisuseError(str(error)) from error


def check_count(task: "Task", split: str, count: int | None) -> None:
    """Raise MisuseError if the split holds fewer than `count` examples, or none at all."""
    size = task.split_size(split)
    if not size:
        digits = getattr(task.config, "digits", 0)
        raise MisuseError(f"--split {split}: holds no problem of at most {digits} digits; choose more --digits")
    if count is not None and count > size:
        raise MisuseError(f"--count {count}: the {split} split holds {size:,} problems, not {count:,}")


def answers_to_show(run: "LoadedRun", task: "Task", metrics: "Metrics", count: int) -> "list[Answer]":
    """What the model writes for `count` of the problems, those that it got wrong first."""
    from tinygrad_arith.tasks.answering import AnswerMetrics, answering
    from tinygrad_arith.tasks.answers import sample_answer

    asked = answering(task, "--show")
    assert isinstance(metrics, AnswerMetrics)  # as such a task gives them
    order = metrics.right.argsort(kind="stable")[:count]  # wrong before right, else as they came
    return [sample_answer(run.model, asked, metrics.problems[i : i + 1]) for i in order]


def draw(measured: Measured) -> Path | None:
    """Draw exact match by both operands' lengths into the run's `plots/`; returns the picture's path.

    None, and no picture, where the task has no two operands of some length each, or, with a warning, where it cannot be
    written.
    """
    grid = measured.metrics.grids.get("by_operand_lengths")
    if grid is None:
        return None
    from tinygrad_arith.plots.breakdowns import heatmap_name, length_heatmap
    from tinygrad_arith.plots.figure import save_figure

    figure = length_heatmap(grid, split=measured.asked.split)
    name = heatmap_name(measured.asked.split, measured.asked.digits, measured.asked.count)
    with only_warn("the heat map over the operands' lengths"):
        return save_figure(figure, measured.run.path / "plots" / f"{name}.png")
    return None


def as_values(measured: Measured, picture: Path | None) -> dict[str, Any]:
    """Everything as plain values."""
    from tinygrad_arith.cli.evaluation_report import evaluation_values

    values: dict[str, Any] = {"run": str(measured.run.path), "step": measured.run.step, "split": measured.asked.split}
    if measured.asked.digits is not None:
        values["digits"] = measured.asked.digits
    values |= evaluation_values(measured.metrics)
    if measured.shown:
        values["problems"] = [asdict(answer) | {"right": answer.right} for answer in measured.shown]
    if picture is not None:
        values["picture"] = str(picture)
    return values


def print_tables(measured: Measured) -> None:
    """Print the tables, then the whole in a few lines."""
    from tinygrad_arith.cli.evaluation_report import evaluation_tables, further_facts, goal_facts, preview_table
    from tinygrad_arith.tasks.answers import as_preview

    out = console()
    for table in evaluation_tables(measured.metrics):
        out.print(table)
    if measured.shown:
        out.print(preview_table(as_preview("problems, wrong answers first", measured.shown)))
    metrics, run = measured.metrics, measured.run
    print_facts(
        [
            ("run", f"{run.path}, step {run.step:,}"),
            ("task", measured.task.describe()),
            *goal_facts(metrics, f"{measured.asked.split} {metrics.examples}"),
            *further_facts(metrics),
        ]
    )
