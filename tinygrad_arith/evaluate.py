"""Measure a trained model on problems it has never seen: `python -m tinygrad_arith.evaluate RUN`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygrad_arith.training.console import console, facts_table, run_door
from tinygrad_arith.training.errors import UserError
from tinygrad_arith.training.flags import Parser, add_device_flag, make_parser, positive

if TYPE_CHECKING:
    from tinygrad_arith.tasks import Task
    from tinygrad_arith.training.evaluation import Breakdown, Evaluation
    from tinygrad_arith.training.runs import LoadedRun

DESCRIPTION = """Measure exact match of a trained model on problems that it has never seen: over all of them, by what
sets the task's problems apart (operand length, longest carry chain, ...) and by place in the answer. A heat map over
the lengths of both operands goes into the run's plots/."""


@dataclass(frozen=True)
class Measured:
    """What was measured: the problems of a split, of the run's own digits or of other ones."""

    run: "LoadedRun"
    task: "Task"
    split: str
    digits: int | None
    evaluation: "Evaluation"
    breakdown: "Breakdown"
    picture: Path | None


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, evaluate the run, print and draw; returns the exit code."""
    args = make_evaluate_parser().parse_args(argv)

    from tinygrad_arith.training.evaluation import break_down, evaluate_exact_match
    from tinygrad_arith.training.runs import load_run

    run = load_run(args.run, args.device)
    task = choose_task(run, args.digits)
    evaluation = evaluate_exact_match(run.model, task, choose_problems(task, args.split, args.count))
    breakdown = break_down(evaluation, task)
    picture = draw(run, args.split, args.digits, breakdown)
    measured = Measured(run, task, args.split, args.digits, evaluation, breakdown, picture)
    if args.json:
        print_json(measured)
    else:
        print_tables(measured)
    return 0


def make_evaluate_parser() -> Parser:
    """All flags of this door."""
    parser = make_parser("evaluate", DESCRIPTION)
    parser.add_argument("run", metavar="RUN", help="directory of the run, such as runs/binary-reversed-seed1")
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
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    add_device_flag(parser)
    return parser


def choose_task(run: "LoadedRun", digits: int | None) -> "Task":
    """The run's task, for operands of at most `digits` digits if given; raises UserError if it cannot have so many."""
    if digits is None:
        return run.task
    try:
        return run.task.with_digits(digits)
    except ValueError as error:
        raise UserError(str(error)) from error


def choose_problems(task: "Task", split: str, count: int | None) -> Any:
    """The first `count` problems of the split, or all; raises UserError if it holds fewer, or none at all."""
    size = task.config.test_size if split == "test" else task.config.validation_size
    if not size:
        raise UserError(
            f"--split {split}: holds no problem of at most {task.config.digits} digits; choose more --digits"
        )
    try:
        return task.problems(split, size if count is None else count)
    except ValueError as error:
        raise UserError(str(error) if count is None else f"--count {count}: {error}") from error


def draw(run: "LoadedRun", split: str, digits: int | None, breakdown: "Breakdown") -> Path | None:
    """Draw exact match by both operands' lengths into the run's `plots/`; returns the picture's path.

    None, and no picture, where the task has no two operands of some length each.
    """
    if breakdown.by_lengths is None:
        return None
    from tinygrad_arith.plots.figure import save_figure
    from tinygrad_arith.plots.length_heatmap import length_heatmap

    figure = length_heatmap(*breakdown.by_lengths, title=f"exact match by operand lengths, % ({split})")
    name = f"length_heatmap_{split}" + ("" if digits is None else f"_{digits}_digits")
    return save_figure(figure, run.path / "plots" / f"{name}.png")


def print_json(measured: Measured) -> None:
    """Print everything as one JSON object."""
    from tinygrad_arith.training.evaluation_report import evaluation_values

    values: dict[str, Any] = {"run": str(measured.run.path), "step": measured.run.step, "split": measured.split}
    if measured.digits is not None:
        values["digits"] = measured.digits
    values |= evaluation_values(measured.evaluation, measured.breakdown)
    if measured.picture is not None:
        values["picture"] = str(measured.picture)
    print(json.dumps(values))


def print_tables(measured: Measured) -> None:
    """Print the tables, then the whole in a few lines."""
    from tinygrad_arith.training.evaluation_report import evaluation_tables, interval_in_words, share_in_words

    out = console()
    for table in evaluation_tables(measured.breakdown):
        out.print(table)
    result, run = measured.evaluation, measured.run
    facts = [
        ("run", f"{run.path}, step {run.step:,}"),
        ("task", measured.task.describe()),
        ("exact match", share_in_words(result.correct, result.count, f"{measured.split} problems")),
        ("95 % interval", interval_in_words(result.interval)),
        ("loss", f"{result.loss:.4g} nats per counted token"),
    ]
    if measured.picture is not None:
        facts.append(("heat map", str(measured.picture)))
    out.print(facts_table(facts))


if __name__ == "__main__":
    run_door(main)
