"""Train or gather several runs and set them side by side: `python -m tinygrad_arith.compare`."""

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..comparisons.finished_runs import group_runs, is_finished, read_finished, run_directories
from ..files.names import portable
from ..files.reading import read_json
from ..files.writing import write_json
from ..options.calling import as_typed, command_words
from ..options.errors import MisuseError, UserError, as_misuse
from ..options.option import flag_name
from ..plots.figure import save_figure
from ..plots.training_curve import comparison_picture
from ..run_files.machine import machine_facts
from ..training.config import Config, with_options
from ..training.presets import Preset
from ..training.runs import RUNS, check_directory, locked, read_record_alone, resume_command
from .comparison_progress import BarJobsReporter, LineJobsReporter
from .comparison_report import comparison_table
from .console import EXIT_FAILURE, console, fail, leave_output, lost_output, only_json, only_warn, print_json, warn
from .flags import HELP_ALL, Parser, add_config_flags, given_names, make_parser, positive, presets_chosen, some_path

if TYPE_CHECKING:  # `jobs` loads the libraries of the CPU, which a comparison of finished runs does without
    from ..comparisons.jobs import Job, Outcome

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
    presets = presets_chosen(argv)
    configs = [config for _, config in presets]
    parser = make_compare_parser(configs)
    args = parser.parse_args(argv)
    if args.help_all:
        make_compare_parser(configs, more=True).print_help()
        return 0
    with only_json(args.json):
        if args.preset:
            command = as_typed([*command_words("compare"), *argv])
            return train_and_compare([preset for preset, _ in presets], args, parser, command)
        return compare_finished(args, parser)


def make_compare_parser(configs: Sequence[Config], more: bool = False) -> Parser:
    """All flags of this command, those of these configurations' kinds among them, or of all kinds (`more`)."""
    parser = make_parser("compare", DESCRIPTION, "comparison")
    runs = "directory of a finished run, or one that holds runs; several may be named"
    parser.add_argument("runs", nargs="*", type=some_path, metavar="RUN", help=runs)
    parser.add_flag("--preset NAME", "a preset to train; may be given several times", action="append")
    seeds = "runs of each preset, with the seeds from --seed on (default: 5)"
    parser.add_flag("--seeds INT", seeds, positive)
    jobs = "runs at a time (default: one a GPU or, on the CPU, one a core; --jobs 1 gives each run all cores)"
    parser.add_flag("--jobs INT", jobs, positive)
    parser.add_flag(
        "--out DIR",
        "directory of the comparison (default: runs/compare-<presets>; of runs that are named: the directory that "
        "holds them, or runs/compare-named-<presets>)",
        some_path,
    )
    parser.add_flag("--json", "print one JSON object instead of the table")
    parser.add_flag("--help-all", HELP_ALL)
    add_config_flags(parser, *configs, more=more)
    return parser


def train_and_compare(presets: Sequence[Preset], args: argparse.Namespace, parser: Parser, command: str) -> int:
    """Train the presets' runs that are not finished yet, then compare all; returns the exit code.

    command: the whole command line, which goes on where it was stopped
    """
    from ..comparisons.jobs import job_name, plan_jobs

    if args.runs:
        parser.error(f"{args.runs[0]}: name runs or --preset, not both")
    with as_misuse():
        names = [job_name(preset, with_options(preset.config, args.given)) for preset in presets]
    out = args.out or default_directory("compare", names)
    check_directory(out)
    jobs = plan_jobs(presets, args.given, args.seeds or 5, out)
    out.mkdir(parents=True, exist_ok=True)
    stream = sys.stderr if args.json else sys.stdout  # for the progress
    with locked(out):
        outcome = train(jobs, args.jobs, out, command, stream)
    if outcome.output_error is not None:
        leave_output(stream)
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


def train(jobs: "Sequence[Job]", count: int | None, out: Path, command: str, stream: TextIO) -> "Outcome":
    """Train side by side, `count` at a time, with progress on a stream: bars on a terminal, lines otherwise."""
    from ..comparisons.jobs import Journal, SideBySide, make_slots

    slots = make_slots([job.config.training for job in jobs], count)
    machine = machine_facts(on_gpu=any(slots))
    reporter = BarJobsReporter(stream) if stream.isatty() else LineJobsReporter(stream)
    return SideBySide(jobs, slots, reporter, Journal(out, command, len(slots), machine)).run()


def compare_finished(args: argparse.Namespace, parser: Parser) -> int:
    """Compare runs that are there already; those that are not finished are left out with a warning."""
    named = args.runs
    if not named:
        parser.error("nothing to compare: name runs, or presets with --preset")
    given = given_names(args) + [flag_name(name) for name in ("seeds", "jobs") if getattr(args, name) is not None]
    if given:
        parser.error(f"{given[0]}: only with --preset; finished runs are compared as they are")
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
    written = show(finished, args.out or (named[0] if holds_all else directory_of_named(finished)), args.json, {})
    return 0 if written or args.out is None else EXIT_FAILURE  # what was asked for by name


def check_not_trained_there(out: Path, runs: Sequence[Path]) -> None:
    """Raise MisuseError if `--out` is where the runs of a comparison were trained, and not only some of these."""
    from ..comparisons.jobs import JOURNAL_FILE

    if (out / JOURNAL_FILE).is_file() and any(run.resolve().parent != out.resolve() for run in runs):
        raise MisuseError(f"--out {out}: holds a comparison of other runs, which were trained there; choose another")


def directory_of_named(runs: Sequence[Path]) -> Path:
    """`runs/compare-named-<names>`, with a number if there is a comparison of other runs."""
    names = dict.fromkeys(read_record_alone(run).name for run in runs)
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
    name = "-".join(map(portable, names))
    if len(name) > LONGEST_NAME:
        name = f"{portable(names[0])}-and-{len(names) - 1}-more"
    return RUNS / f"{kind}-{name}"


def show(directories: Sequence[Path], out: Path, as_json: bool, failures: dict[str, str]) -> bool:
    """Print the table or the JSON of finished runs; `comparison.json` and `comparison.png` go into `out`, if that takes
    them: returns whether it did.
    """
    groups = group_runs(read_finished(directory) for directory in directories)
    values: dict[str, Any] = {"groups": [group.values() for group in groups], "failed": failures}
    picture, written = out / PICTURE_FILE, False
    with only_warn("the comparison's picture and figures"):  # what is printed is worth having without them
        save_figure(comparison_picture(groups), picture)
        values["picture"] = str(picture)
        write_json(out / COMPARISON_FILE, values)
        written = True
    if as_json:
        print_json(values)
        return written
    console().print(comparison_table(groups))
    if written:
        print(f"The curves are in {picture}, every figure in {out / COMPARISON_FILE}")
    return written
