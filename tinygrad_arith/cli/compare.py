"""Train or gather several runs and set them side by side: `python -m tinygrad_arith.compare`."""

import argparse
import itertools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tinygrad_arith.cli.console import (
    EXIT_FAILURE,
    console,
    fail,
    leave_output,
    lost_output,
    only_json,
    only_warn,
    print_json,
    warn,
)
from tinygrad_arith.cli.flags import (
    Parser,
    add_config_flags,
    given_flags,
    given_names,
    make_parser,
    positive,
    presets_chosen,
    some_path,
)
from tinygrad_arith.files.reading import read_json
from tinygrad_arith.options.errors import MisuseError, UserError, as_misuse
from tinygrad_arith.options.option import flag_name
from tinygrad_arith.training.config import Config, with_options
from tinygrad_arith.training.presets import load_preset

if TYPE_CHECKING:
    from tinygrad_arith.comparisons.finished_runs import Group
    from tinygrad_arith.comparisons.jobs import Job, Outcome
    from tinygrad_arith.comparisons.reporter import JobsReporter

DESCRIPTION = """Set several runs side by side: medians and ranges over seeds in one table and one picture.

Either name finished runs (or a directory that holds some), or presets, which are then trained with several seeds each,
as processes side by side. Every option is a flag and holds for all presets. Ctrl-C stops all runs, which save first;
the same command goes on from there, and trains no finished run again.

In the table, training loss is the mean of the last 100 steps of a run, in nats per counted token; steps and seconds
to 99 % are those to the first evaluation on the validation problems that reached so much."""
LONGEST_NAME = 80  # characters of a directory's name
COMPARISON_FILE = "comparison.json"
PICTURE_FILE = "comparison.png"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, train what is to be trained, gather, print and draw; returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = make_compare_parser([preset.config for preset in presets_chosen(argv)])
    args = parser.parse_args(argv)
    with only_json(args.json):
        return compare(args, parser, argv)


def compare(args: argparse.Namespace, parser: Parser, argv: Sequence[str]) -> int:
    """Do what the flags ask for; returns the exit code."""
    if args.preset:
        return train_and_compare(args, parser, argv)
    if not args.runs:
        parser.error("nothing to compare: name runs, or presets with --preset")
    given = given_names(args) + [flag_name(name) for name in ("seeds", "jobs") if getattr(args, name) is not None]
    if given:
        parser.error(f"{given[0]}: only with --preset; finished runs are compared as they are")
    return compare_finished(args)


def make_compare_parser(configs: Sequence[Config]) -> Parser:
    """All flags of this command, those of these configurations' kinds among them."""
    parser = make_parser("compare", DESCRIPTION)
    parser.add_argument(
        "runs",
        nargs="*",
        type=some_path,
        metavar="RUN",
        help="directory of a finished run, or one that holds runs; several may be named",
    )
    own = parser.add_argument_group("comparison")
    own.add_argument("--preset", action="append", metavar="NAME", help="a preset to train; may be given several times")
    own.add_argument(
        "--seeds", type=positive, metavar="INT", help="runs of each preset, with the seeds from --seed on (default: 5)"
    )
    own.add_argument(
        "--jobs",
        type=positive,
        metavar="INT",
        help="runs at a time (default: one a GPU or, on the CPU, one a core; --jobs 1 gives each run all cores)",
    )
    own.add_argument(
        "--out",
        type=some_path,
        metavar="DIR",
        help="directory of the comparison (default: runs/compare-<presets>; of runs that are named: the directory that "
        "holds them, or runs/compare-named-<presets>)",
    )
    own.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    add_config_flags(parser, *configs)
    return parser


def train_and_compare(args: argparse.Namespace, parser: Parser, argv: Sequence[str]) -> int:
    """Train the presets' runs that are not finished yet, then compare all; returns the exit code."""
    from tinygrad_arith.comparisons.finished_runs import is_finished
    from tinygrad_arith.comparisons.jobs import job_name, plan_jobs
    from tinygrad_arith.training.runs import check_directory, locked

    if args.runs:
        parser.error(f"{args.runs[0]}: name runs or --preset, not both")
    presets = [load_preset(name) for name in dict.fromkeys(args.preset)]
    given = given_flags(args)
    with as_misuse():
        names = [job_name(preset, with_options(preset.config, given)) for preset in presets]
    out = args.out or default_directory("compare", names)
    check_directory(out)
    jobs = plan_jobs(presets, given, args.seeds or 5, out)
    out.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["python", "-m", "tinygrad_arith.compare", *argv])
    with locked(out):
        outcome = train(jobs, args, out, command)
    if outcome.output_error is not None:
        leave_output(progress_stream(args.json))
    if outcome.signal is not None:  # first: Ctrl-C on `compare | tee log` ends `tee` too
        print(f"Stopped; saved in {out}. Go on with:\n{command}", file=sys.stderr)
        return 128 + outcome.signal  # as shells have it: 130 after Ctrl-C
    if outcome.output_error is not None:
        if args.json:  # it was stderr that broke: there is nowhere to say so
            return EXIT_FAILURE
        return lost_output(outcome.output_error, f"stopped, saved in {out}; go on with: {command}")
    finished = [job.directory for job in jobs if is_finished(job.directory)]
    if finished:
        show(finished, out, args.json, outcome.failures)
    for name, why in outcome.failures.items():
        fail(f"{name}: {why} (all that it printed is in {out / (name + '.log')})")
    return EXIT_FAILURE if outcome.failures else 0


def train(jobs: "Sequence[Job]", args: argparse.Namespace, out: Path, command: str) -> "Outcome":
    """Train side by side, with progress on stdout, or on stderr where stdout is for JSON."""
    from tinygrad_arith.comparisons.jobs import Journal, SideBySide, make_slots
    from tinygrad_arith.run_files.machine import machine_facts

    slots = make_slots([job.config.training for job in jobs], args.jobs)
    machine = machine_facts(on_gpu=any(slot.environment for slot in slots))
    journal = Journal(out, command, len(slots), machine)
    return SideBySide(jobs, slots, make_reporter(args.json), journal).run()


def make_reporter(as_json: bool) -> "JobsReporter":
    """Bars on a terminal, lines otherwise."""
    from tinygrad_arith.cli.comparison_progress import BarJobsReporter, LineJobsReporter

    stream = progress_stream(as_json)
    return (BarJobsReporter if stream.isatty() else LineJobsReporter)(stream)


def progress_stream(as_json: bool) -> TextIO:
    """Where progress goes: stdout, unless that is for JSON."""
    return sys.stderr if as_json else sys.stdout


def compare_finished(args: argparse.Namespace) -> int:
    """Compare runs that are there already; those that are not finished are left out with a warning."""
    from tinygrad_arith.comparisons.finished_runs import is_finished, run_directories
    from tinygrad_arith.training.runs import check_directory, resume_command

    named = args.runs
    directories = run_directories(named)
    finished = [directory for directory in directories if is_finished(directory)]
    for directory in directories:
        if directory not in finished:
            warn(f"{directory}: not finished, left out; go on with: {resume_command(directory)}")
    if not finished:
        raise UserError("none of these runs is finished")
    if args.out is not None:
        check_directory(args.out)
        check_not_trained_there(args.out, finished)
    holds_all = len(named) == 1 and named != directories
    show(finished, args.out or (named[0] if holds_all else directory_of_named(finished)), args.json, {})
    return 0


def check_not_trained_there(out: Path, runs: Sequence[Path]) -> None:
    """Raise MisuseError if `--out` is where the runs of a comparison were trained, and not only some of these."""
    from tinygrad_arith.comparisons.jobs import JOURNAL_FILE

    if (out / JOURNAL_FILE).is_file() and any(run.resolve().parent != out.resolve() for run in runs):
        raise MisuseError(f"--out {out}: holds a comparison of other runs, which were trained there; choose another")


def directory_of_named(runs: Sequence[Path]) -> Path:
    """`runs/compare-named-<names>`, with a number if there is a comparison of other runs."""
    from tinygrad_arith.training.runs import read_record

    names = dict.fromkeys(read_record(run).name for run in runs)
    first = default_directory("compare-named", list(names))
    numbered = (first.with_name(f"{first.name}-{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([first], numbered) if compared_runs(path) in (None, set(runs)))


def compared_runs(directory: Path) -> set[Path] | None:
    """The runs of the comparison in a directory; None if there is none, or none that can be read."""
    try:
        values = read_json(directory / COMPARISON_FILE)
        return {Path(run["run"]) for group in values["groups"] for run in group["runs"]}
    except (UserError, OSError, KeyError, TypeError):
        return None


def default_directory(kind: str, names: Sequence[str]) -> Path:
    """`runs/<kind>-<names>`; of many names only the first, and how many more."""
    from tinygrad_arith.training.runs import RUNS

    name = "-".join(names)
    if len(name) > LONGEST_NAME:
        name = f"{names[0]}-and-{len(names) - 1}-more"
    return RUNS / f"{kind}-{name}"


def show(directories: Sequence[Path], out: Path, as_json: bool, failures: dict[str, str]) -> None:
    """Print the table or the JSON of finished runs; `comparison.json` and `comparison.png` go into `out`."""
    from tinygrad_arith.cli.comparison_report import comparison_table
    from tinygrad_arith.comparisons.finished_runs import group_runs, read_finished
    from tinygrad_arith.files.writing import write_json
    from tinygrad_arith.plots.comparison import comparison_picture
    from tinygrad_arith.plots.figure import save_figure

    groups = group_runs(read_finished(directory) for directory in directories)
    picture = out / PICTURE_FILE
    values = comparison_values(groups, failures)
    written = False
    with only_warn("the comparison's picture and figures"):  # what is printed is worth having without them
        save_figure(comparison_picture(groups), picture)
        values["picture"] = str(picture)
        write_json(out / COMPARISON_FILE, values)
        written = True
    if as_json:
        print_json(values)
        return
    console().print(comparison_table(groups))
    if written:
        print(f"The curves are in {picture}, every figure in {out / COMPARISON_FILE}")


def comparison_values(groups: "Sequence[Group]", failures: dict[str, str]) -> dict[str, Any]:
    """The comparison as one JSON object, but for the picture, which may not be written."""
    return {"groups": [group.values() for group in groups], "failed": failures}
