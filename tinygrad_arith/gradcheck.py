"""Check every gradient, or those of your own operations: `python -m tinygrad_arith.gradcheck`."""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_arith.training.console import EXIT_FAILURE, as_duration, console, data_table, on_terminal, run_door
from tinygrad_arith.training.flags import Parser, make_parser, whole

if TYPE_CHECKING:
    from tinygrad_arith.training.gradient_suite import Outcome, Subject

FAILURES_SHOWN = 2  # for each row of the table; the cases of one operation mostly fail alike
DESCRIPTION = """Compare every hand-written gradient with central differences in float64: all operations, modules and
whole models, each at several inputs; and try known wrong backwards, which the check must reject. With --file, the same
for pairs of functions of your own: X_forward, X_backward and X_inputs (docs/checking_your_own.md)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, check, print; returns the exit code: 1 if anything fails."""
    args = make_gradcheck_parser().parse_args(argv)

    from tinygrad_arith.training.gradient_suite import choose_subjects, require_device

    require_device(args.device)
    subjects = choose_subjects(load_subjects(args.file, args.seed), args.op or ())
    began = time.perf_counter()
    outcomes = list(check_all(subjects, args))
    seconds = time.perf_counter() - began
    if args.json:
        print(json.dumps(as_json(outcomes, args, seconds)))
    else:
        print_table(outcomes, args, seconds)
    return 0 if all(outcome.passed for outcome in outcomes) else EXIT_FAILURE


def make_gradcheck_parser() -> Parser:
    """All flags of this door."""
    parser = make_parser("gradcheck", DESCRIPTION)
    parser.add_argument("--op", action="append", metavar="NAME", help="check this one only; may be given several times")
    parser.add_argument("--file", metavar="FILE", help="check the pairs of this Python file instead of ours")
    parser.add_argument(
        "--dtype",
        choices=("float64", "float32"),
        default="float64",
        help="of the inputs and gradients; the differences are always taken in float64 (default: float64)",
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where the arrays are; cuda needs CuPy (default: cpu)"
    )
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="INT", help="of inputs, parameters and cotangents (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser


def load_subjects(file: str | None, seed: int) -> "list[Subject]":
    """What can be checked: all of ours, or the pairs of the user's file."""
    if file is None:
        from tinygrad_arith.training.gradient_subjects import all_subjects

        return all_subjects(seed)
    from tinygrad_arith.training.user_operations import user_subjects

    return user_subjects(file, seed)


def check_all(subjects: "Sequence[Subject]", args: argparse.Namespace) -> "Iterator[Outcome]":
    """The outcome of each subject in turn, with a progress bar on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from tinygrad_arith.training.gradient_suite import check_subject

    columns = TextColumn("checking"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}")
    hidden = args.json or not on_terminal()
    with Progress(*columns, console=console(), transient=True, disable=hidden) as progress:
        line = progress.add_task("", total=len(subjects))
        for subject in subjects:
            progress.update(line, description=subject.name)
            yield check_subject(subject, dtype=args.dtype, device=args.device, seed=args.seed)
            progress.advance(line)


def as_json(outcomes: "Sequence[Outcome]", args: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """Everything as plain values."""
    return {
        "passed": all(outcome.passed for outcome in outcomes),
        "dtype": args.dtype,
        "device": args.device,
        "seed": args.seed,
        "seconds": seconds,
        "checks": [outcome.to_dict() for outcome in outcomes],
    }


def print_table(outcomes: "Sequence[Outcome]", args: argparse.Namespace, seconds: float) -> None:
    """The table, what failed and why, and the whole in a line."""
    columns = ["", "name", "cases", "elements", "largest error", "mutants rejected", "time", ""]
    out = console()
    out.print(data_table("Gradients against central differences", columns, map(row, outcomes)))
    for outcome in outcomes:
        for failure in outcome.failures[:FAILURES_SHOWN]:
            out.print(f"{failure}\n", markup=False, soft_wrap=True)
        if len(outcome.failures) > FAILURES_SHOWN:
            more = len(outcome.failures) - FAILURES_SHOWN
            out.print(f"{outcome.name}: more of this kind: {more} (--op {outcome.name} --json lists them all)\n")
    failed = [outcome.name for outcome in outcomes if not outcome.passed]
    verdict = f"FAILED: {', '.join(failed)}" if failed else "all passed"
    elements = sum(outcome.elements for outcome in outcomes)
    out.print(
        f"{verdict}; {elements:,} elements compared in {args.dtype} (seed {args.seed}), {mutants_in_words(outcomes)}, "
        f"{as_duration(seconds)}",
        markup=False,
    )


def mutants_in_words(outcomes: "Sequence[Outcome]") -> str:
    """How many wrong backwards were rejected, over all rows."""
    tried, rejected = sum(outcome.mutants for outcome in outcomes), sum(outcome.rejected for outcome in outcomes)
    return f"{rejected:,} of {tried:,} wrong backwards rejected" if tried else "no wrong backwards tried"


def row(outcome: "Outcome") -> list[str]:
    """One row of the table; an error is relative to the largest entry of its gradient."""
    return [
        outcome.kind,
        outcome.name,
        str(outcome.cases),
        f"{outcome.elements:,}",
        "-" if outcome.largest_error is None else f"{outcome.largest_error:.1e}",
        f"{outcome.rejected}/{outcome.mutants}" if outcome.mutants else "-",
        as_duration(outcome.seconds),
        "ok" if outcome.passed else "FAILED",
    ]


if __name__ == "__main__":
    run_door(main)
