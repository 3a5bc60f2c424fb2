"""Measure a trained model on problems it has never seen: `python -m tinygrad_arith.evaluate RUN`."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinygrad_arith.training.console import console, facts_table, run_door
from tinygrad_arith.training.errors import UserError
from tinygrad_arith.training.flags import Parser, add_device_flag, make_parser

if TYPE_CHECKING:
    from tinygrad_arith.tasks import Problems
    from tinygrad_arith.training.evaluation import Breakdown, Evaluation
    from tinygrad_arith.training.runs import LoadedRun

DESCRIPTION = """Measure exact match of a trained model on problems that it has never seen: over all of them, by
operand length, by longest carry chain and by place in the answer. A heat map goes into the run's plots/."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, evaluate the run, print and draw; returns the exit code."""
    args = make_evaluate_parser().parse_args(argv)

    from tinygrad_arith.training.evaluation import break_down, evaluate_exact_match
    from tinygrad_arith.training.runs import load_run

    run = load_run(args.run, args.device)
    evaluation = evaluate_exact_match(run.model, run.task, choose_problems(run, args.split, args.count))
    breakdown = break_down(evaluation, run.task)
    picture = draw(run, args.split, breakdown)
    if args.json:
        print_json(run, args.split, evaluation, breakdown, picture)
    else:
        print_tables(run, args.split, evaluation, breakdown, picture)
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
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    add_device_flag(parser)
    return parser


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text}")
    return int(text)


def choose_problems(run: "LoadedRun", split: str, count: int | None) -> "Problems":
    """The first `count` problems of the split, or all; raises UserError if it holds fewer."""
    task = run.config.task
    size = task.test_size if split == "test" else task.validation_size
    try:
        return run.task.problems(split, size if count is None else count)
    except ValueError as error:
        raise UserError(str(error)) from error


def draw(run: "LoadedRun", split: str, breakdown: "Breakdown") -> Path:
    """Draw exact match by both operands' lengths into the run's `plots/`; returns the picture's path."""
    from tinygrad_arith.plots.figure import save_figure
    from tinygrad_arith.plots.length_heatmap import length_heatmap

    figure = length_heatmap(*breakdown.by_lengths, title=f"exact match by operand lengths, % ({split})")
    return save_figure(figure, run.path / "plots" / f"length_heatmap_{split}.png")


def print_json(run: "LoadedRun", split: str, evaluation: "Evaluation", breakdown: "Breakdown", picture: Path) -> None:
    """Print everything as one JSON object."""
    from tinygrad_arith.training.evaluation_report import evaluation_values

    values = {"run": str(run.path), "step": run.step, "split": split}
    values |= evaluation_values(evaluation, breakdown)
    print(json.dumps(values | {"picture": str(picture)}))


def print_tables(run: "LoadedRun", split: str, evaluation: "Evaluation", breakdown: "Breakdown", picture: Path) -> None:
    """Print the tables, then the whole in a few lines."""
    from tinygrad_arith.training.evaluation_report import evaluation_tables, interval_in_words

    out = console()
    for table in evaluation_tables(breakdown):
        out.print(table)
    share = f"{evaluation.exact_match:.2%} of {evaluation.count:,} {split} problems ({evaluation.correct:,} right)"
    facts = [
        ("run", f"{run.path}, step {run.step:,}"),
        ("task", run.task.describe()),
        ("exact match", share),
        ("95 % interval", interval_in_words(evaluation.correct, evaluation.count)),
        ("heat map", str(picture)),
    ]
    out.print(facts_table(facts))


if __name__ == "__main__":
    run_door(main)
