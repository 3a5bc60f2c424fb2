"""Draw what a run, or several, have learned: `python -m tinygrad_arith.plot RUN...`."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..comparisons.finished_runs import run_directories
from ..files.names import fault_of_name, folded, told_apart
from ..options.errors import MisuseError, UserError
from ..options.option import did_you_mean
from ..plots.catalogue import PICTURES, Picture
from ..plots.figure import save_figure
from ..plots.run_data import Choices, Lacking, RunData
from ..run_files.metrics_csv import CSV_NAME, write_csv
from .console import EXIT_FAILURE, console, data_table, fail, warn
from .flags import Parser, add_device_flag, make_parser, positive, some_path

SHARED = Path("runs") / "plots"  # where pictures of several runs go
DESCRIPTION = """Draw pictures of trained runs. Which ones there are follows from what a run has: --list tells.

The pictures of one run go into its plots/, those that several runs share into runs/plots/; --out changes both."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, draw, print where the pictures are; returns the exit code."""
    parser = make_plot_parser()
    args = parser.parse_args(argv)
    names = [picture.name for picture in PICTURES]
    for name in args.only or ():
        if name not in names:
            parser.error(f"--only {name}: no such picture{did_you_mean(name, names)} (there are {', '.join(names)})")
    if args.out is not None and (fault := fault_of_name(args.out)) is not None:
        parser.error(f"--out {args.out}: {fault}")
    if not args.runs and not args.list:
        parser.error("RUN: name the directory of a run, or several")
    if args.csv:
        if args.only or args.list:
            parser.error("--csv: writes tables instead of pictures, so there is no --only and no --list")
        return write_tables(run_directories(args.runs), args.out)
    choices = Choices(args.count, args.problem, args.sample, args.device)
    runs = [RunData(path, choices) for path in run_directories(args.runs)]
    chosen = [picture for picture in PICTURES if not args.only or picture.name in args.only]
    if args.list:
        print_list(chosen, runs)
        return 0
    for picture in chosen:
        availability(picture, runs)  # raises MisuseError, before anything is drawn
    drawn, failures = False, list[str]()
    for path in draw_all(chosen, runs, args, failures):
        console().print(str(path), markup=False, soft_wrap=True)
        drawn = True
    for run in runs:
        if run.why_no_task is not None:
            warn(f"only what needs no task is drawn: {run.why_no_task}")
    for sentence in dict.fromkeys(failures):  # several pictures may fail for the same damaged file
        fail(sentence)
    if not drawn and not failures:
        warn("there is nothing to draw yet; --list says why")
    return EXIT_FAILURE if failures else 0


def make_plot_parser() -> Parser:
    """All flags of this command."""
    parser = make_parser("plot", DESCRIPTION)
    directories = "directory of a run, or one that holds runs, as compare makes; several may be named"
    parser.add_flag("runs RUN", directories, some_path, nargs="*")
    parser.add_flag("--only NAME", "draw this one; may be given several times", action="append")
    parser.add_flag("--list", "list the pictures, and why a run has not all of them")
    parser.add_flag("--csv", f"draw nothing, and write each run's metrics into its plots/{CSV_NAME}, a line a step")
    parser.add_flag("--out DIR", "where the pictures, or tables, go (default: see above)", some_path)
    parser.add_flag("--format", "of the files", choices=("png", "svg", "pdf"), default="png")
    asked = "test problems that a model answers (default: all; 1,000 for each operand length)"
    parser.add_flag("--count INT", asked, positive)
    parser.add_flag(
        "--problem TEXT",
        "whose attention is drawn, read as sample reads it: 13+3 or, in bits with the least significant one first, "
        "1011+11= (default: a validation problem)",
    )
    first = "the first of the samples in predictions.jsonl that are drawn token by token"
    parser.add_flag("--sample INT", first, positive, default=1)
    add_device_flag(parser)
    return parser


def write_tables(paths: Sequence[Path], out: Path | None) -> int:
    """Write the metrics of each run as CSV, print where the files are, tell what is damaged; returns the exit code."""
    code = 0
    for path in paths:
        try:
            file = write_csv(path, folder_of_run(path, paths, out) / CSV_NAME)
            console().print(str(file), markup=False, soft_wrap=True)
        except UserError as error:
            code = fail(str(error))
    return code


def print_list(pictures: Sequence[Picture], runs: Sequence[RunData]) -> None:
    """Print the catalogue; with runs, also which pictures cannot be drawn of them and why."""
    columns = ["name", "what it shows", *(["of these runs"] if runs else [])]
    rows = [[picture.name, picture.shows, *([availability(picture, runs)] if runs else [])] for picture in pictures]
    console().print(data_table("", columns, rows))


def availability(picture: Picture, runs: Sequence[RunData]) -> str:
    """`yes`, or why this picture cannot be drawn of any of the runs.

    Raises MisuseError where a flag chooses what there is not.
    """
    reasons = [reason_against(picture, subject) for subject in subjects_of(picture, runs)]
    return "yes" if None in reasons else f"no: {reasons[0]}"


def reason_against(picture: Picture, subject: Any) -> str | None:
    """Why a picture cannot be drawn, be it that something is lacking or that it is damaged; None if it can."""
    try:
        picture.find(subject)
    except MisuseError:
        raise
    except UserError as error:
        return str(error)
    return None


def subjects_of(picture: Picture, runs: Sequence[RunData]) -> list[Any]:
    """What a picture is drawn of, one file or several each: all runs together, or one after the other."""
    return [runs] if picture.together else list(runs)


def draw_all(
    pictures: Sequence[Picture], runs: Sequence[RunData], args: argparse.Namespace, failures: list[str]
) -> Iterator[Path]:
    """Draw the pictures that the runs have; yields the path of each file.

    What is damaged, or was asked for by name and cannot be drawn of any run, goes into `failures`, a sentence each; the
    other pictures are drawn all the same.
    """
    for picture in pictures:
        reasons: list[str | None] = []
        for subject in subjects_of(picture, runs):
            folder = folder_of(picture, subject, runs, args.out)
            try:
                for name, draw in picture.find(subject).items():
                    yield save_figure(draw(), folder / f"{name}.{args.format}")
                reasons.append(None)
            except Lacking as lacking:
                reasons.append(str(lacking))
            except UserError as error:
                failures.append(str(error))
                reasons.append(None)
        if args.only and None not in reasons:
            failures.append(f"--only {picture.name}: {reasons[0]}")


def folder_of(picture: Picture, subject: Any, runs: Sequence[RunData], out: Path | None) -> Path:
    """Where a picture goes: of one run into its `plots/`, of all together into `runs/plots/`, or into `out`, in which
    each of several runs has a folder.
    """
    if picture.together and len(runs) > 1:
        return out or SHARED
    paths = [run.path for run in runs]
    return folder_of_run(paths[0] if picture.together else subject.path, paths, out)


def folder_of_run(path: Path, all_paths: Sequence[Path], out: Path | None) -> Path:
    """Where what is a run's own goes: into its `plots/`, or into `out`, in which each of several runs has a folder."""
    if out is None:
        return path / "plots"
    return out if len(all_paths) == 1 else out / folder_names(all_paths)[path]


def folder_names(paths: Sequence[Path]) -> dict[Path, str]:
    """The name of each run, with as many of the folders above it as tell it apart from its namesakes, and with a number
    where they do not. Upper and lower case are no difference: not every file system makes one.
    """
    return dict(zip(paths, told_apart([folder_name(path, paths) for path in paths]), strict=True))


def folder_name(path: Path, all_paths: Sequence[Path]) -> str:
    """A run's name, with as many of the folders above it as tell it apart from its namesakes."""
    parts = path.resolve().parts[1:]
    others = [folded_parts(other) for other in all_paths if other is not path]
    for count in range(1, len(parts)):
        if all(other[-count:] != folded_parts(path)[-count:] for other in others):
            return "-".join(parts[-count:])
    return "-".join(parts)


def folded_parts(path: Path) -> list[str]:
    """The names of a path's folders and its own, as a file system sees them for which case does not count."""
    return [folded(part) for part in path.resolve().parts]
