"""Check every gradient, or those of your own operations: `python -m tinygrad_arith.gradcheck`."""

import argparse
import re
import time
from collections.abc import Sequence
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ..backend import available_cores
from ..gradcheck_suite.pool import GradientPool, Work
from ..gradcheck_suite.suite import Outcome, Subject
from ..options.option import did_you_mean
from ..training.build import choose_device
from .console import EXIT_FAILURE, as_duration, console, data_table, on_terminal, print_json
from .flags import Parser, make_parser, positive, some_path, whole

DISPENSABLE = ("time", "cases", "elements", "mutants rejected")  # columns, the first to go first
SAID = {"passed": "ok", "wrong": "FAILED", "undecided": "undecided"}  # of a verdict, in the table
FAILURES_SHOWN = 2  # for each row of the table; the cases of one operation mostly fail alike
NUMBER = re.compile(r"[-+]?\b(\d[\d.,]*(e[-+]?\d+)?|nan|inf)\b|[-+]")
DESCRIPTION = """Compare every hand-written gradient with central differences in float64: all operations, modules and
whole models, each at several inputs; and try known wrong backwards, which the check must reject. With --file, the same
for pairs of functions of your own: X_forward, X_backward and X_inputs (python -m pydoc
tinygrad_arith.gradcheck_suite.user_operations shows one)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, check, print; returns the exit code: 1 if anything fails or is undecided."""
    parser = make_gradcheck_parser()
    args = parser.parse_args(argv)
    choose_device(args.device)  # complains if there is none
    began = time.perf_counter()
    work = Work(args.file and str(args.file), args.seed, args.dtype, args.device)
    jobs = args.jobs or (1 if args.file else available_cores())  # a user's file is run by each of them
    with GradientPool(work, jobs) as pool:
        known = {subject.name: subject for subject in pool.subjects()}
        for name in args.op or ():
            if name not in known:
                hint = did_you_mean(name, known) or f"; known: {', '.join(known)}"
                parser.error(f"--op {name or repr(name)}: there is no such check{hint}")
        chosen = [subject for name, subject in known.items() if name in (args.op or known)]
        outcomes = check_all(pool, chosen, shown=not args.json and on_terminal())
    seconds = time.perf_counter() - began
    if args.json:
        print_json(as_json(outcomes, args, seconds))
    else:
        print_table(outcomes, args, seconds)
    return 0 if all(outcome.passed for outcome in outcomes) else EXIT_FAILURE


def make_gradcheck_parser() -> Parser:
    """All flags of this command."""
    parser = make_parser("gradcheck", DESCRIPTION)
    parser.add_flag("--op NAME", "check this one only; may be given several times", action="append")
    parser.add_flag("--file FILE", "check the pairs of this Python file instead of ours", some_path)
    precision = "of the inputs and gradients; the differences are always taken in float64"
    parser.add_flag("--dtype", precision, choices=("float64", "float32"), default="float64")
    parser.add_flag("--device", "where the arrays are; cuda needs CuPy", choices=("cpu", "cuda"), default="cpu")
    parser.add_flag("--seed INT", "of inputs, parameters and cotangents", whole, default=0)
    jobs = "how many processes check side by side (default: as many as there are cores; for --file: 1)"
    parser.add_flag("--jobs INT", jobs, positive)
    parser.add_flag("--json", "print one JSON object instead of a table")
    return parser


def check_all(pool: GradientPool, subjects: Sequence[Subject], shown: bool) -> list[Outcome]:
    """The outcomes in the order of their subjects; `shown`: with a progress bar."""
    columns = TextColumn("checking"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}")
    found = {}
    with Progress(*columns, console=console(), transient=True, disable=not shown) as progress:
        line = progress.add_task(subjects[0].name, total=len(subjects))
        for outcome in pool.outcomes(subjects):
            found[outcome.name] = outcome
            progress.update(line, advance=1, description=", ".join(pool.running))
    return [found[subject.name] for subject in subjects]


def as_json(outcomes: Sequence[Outcome], args: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """Everything as plain values."""
    verdicts = {outcome.verdict for outcome in outcomes}
    return {
        "passed": verdicts <= {"passed"},
        "verdict": next((verdict for verdict in ("wrong", "undecided") if verdict in verdicts), "passed"),
        "dtype": args.dtype,
        "device": args.device,
        "seed": args.seed,
        "seconds": seconds,
        "checks": [outcome.to_dict() for outcome in outcomes],
    }


def print_table(outcomes: Sequence[Outcome], args: argparse.Namespace, seconds: float) -> None:
    """The table, what failed and why, and the whole in a line."""
    out = console()
    out.print(outcomes_table(outcomes, out.width if on_terminal() else None))
    for outcome in outcomes:
        told = distinct(outcome.failures)[:FAILURES_SHOWN]
        for failure in told:
            out.print(f"{failure}\n", markup=False, soft_wrap=True)
        if len(outcome.failures) > len(told):
            more = len(outcome.failures) - len(told)
            out.print(f"{outcome.name}: more of this kind: {more} (--op {outcome.name} --json lists them all)\n")
    elements, undecided = (sum(getattr(outcome, name) for outcome in outcomes) for name in ("elements", "undecided"))
    hidden = f", {undecided:,} of them undecided" if undecided else ""
    out.print(
        f"{verdicts_in_words(outcomes)}; {elements:,} elements compared in {args.dtype}{hidden} (seed {args.seed}), "
        f"{mutants_in_words(outcomes)}, {as_duration(seconds)}",
        markup=False,
        soft_wrap=not on_terminal(),
    )


def distinct(failures: Sequence[str]) -> list[str]:
    """The failures without those that say the same of other numbers, as those of two draws mostly do."""
    first: dict[str, str] = {}
    for failure in failures:
        first.setdefault(" ".join(NUMBER.sub("", failure).split()), failure)
    return list(first.values())


def verdicts_in_words(outcomes: Sequence[Outcome]) -> str:
    """`FAILED: relu, gelu; undecided: exp`, or `all passed`."""
    names = {verdict: [o.name for o in outcomes if o.verdict == verdict] for verdict in ("wrong", "undecided")}
    told = [f"{SAID[verdict]}: {', '.join(listed)}" for verdict, listed in names.items() if listed]
    return "; ".join(told) or "all passed"


def mutants_in_words(outcomes: Sequence[Outcome]) -> str:
    """How many wrong backwards were rejected, over all rows."""
    tried, rejected = sum(outcome.mutants for outcome in outcomes), sum(outcome.rejected for outcome in outcomes)
    if tried:
        return f"{rejected:,} of {tried:,} wrong backwards rejected"
    failed = any(outcome.failures for outcome in outcomes)
    return "wrong backwards not tried: the right one failed" if failed else "no wrong backwards tried"


def outcomes_table(outcomes: Sequence[Outcome], width: int | None) -> Table:
    """One row for each outcome, and one where another kind begins, if there are several.

    width: of the terminal; columns for which it has no room are left out, and no name is cut. None: any width will do.
    """
    rows, kind = [], None
    kinds = {outcome.kind for outcome in outcomes}
    for outcome in outcomes:
        if outcome.kind != kind and len(kinds) > 1:
            kind = outcome.kind
            rows.append(dict.fromkeys(row(outcome), "") | {"name": f"({kind}s)"})
        rows.append(row(outcome))
    of = f" of {kinds.pop()}s" if len(kinds) == 1 else ""
    title, columns = f"Gradients{of} against central differences", list(rows[0]) if rows else []
    for dispensable in DISPENSABLE:
        if width is not None and needed_width(columns, rows) > width:
            columns.remove(dispensable)
            title = f"Gradients{of} against central differences (a wider terminal shows more)"
    heads = [column.replace(" ", "\n") if width else column for column in columns]
    table = data_table(title, heads, ([cells[column] for column in columns] for cells in rows))
    if width is not None:
        table.show_edge, table.pad_edge, table.padding = False, False, (0, 1, 0, 0)
    for column in table.columns:
        column.overflow = "fold"  # where even that is too wide, a cell goes on below
    return table


def needed_width(columns: Sequence[str], rows: Sequence[dict[str, str]]) -> int:
    """The width of a table with these columns, their heads folded, on a terminal."""
    cells = [[*column.split(), *(cells[column] for cells in rows)] for column in columns]
    return sum(max(map(len, column), default=0) for column in cells) + len("  ") * (len(columns) - 1)


def row(outcome: Outcome) -> dict[str, str]:
    """The cells of one outcome by the head of their column; the error is relative to the largest entry of its
    gradient.
    """
    untried = "not tried" if outcome.failures else "-"
    return {
        "name": outcome.name,
        "cases": str(outcome.cases),
        "elements": f"{outcome.elements:,}",
        "largest error": "-" if outcome.largest_error is None else f"{outcome.largest_error:.1e}",
        "mutants rejected": f"{outcome.rejected}/{outcome.mutants}" if outcome.mutants else untried,
        "time": as_duration(outcome.seconds),
        "": SAID[outcome.verdict],
    }
