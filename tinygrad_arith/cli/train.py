"""Train a model: `python -m tinygrad_arith.train`. Ctrl-C saves first; `--resume` goes on from there."""

import argparse
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinygrad_arith.cli.console import EXIT_INTERRUPTED, leave_output, lost_output, only_warn, warn
from tinygrad_arith.cli.flags import (
    Parser,
    add_config_flags,
    given_flags,
    given_names,
    make_parser,
    presets_chosen,
    some_path,
)
from tinygrad_arith.options.errors import as_misuse
from tinygrad_arith.options.option import flag_name
from tinygrad_arith.training.config import Config, with_options
from tinygrad_arith.training.presets import DEFAULT_PRESET, Preset, load_preset

if TYPE_CHECKING:
    from tinygrad_arith.run_files.checkpoints import Progress
    from tinygrad_arith.training.trainer import Session

NEWEST = object()  # what `--resume` without a directory stands for
NO_GOAL = 0.0  # what `--until none` stands for
DESCRIPTION = """Train a transformer, whose every gradient was written by hand, to do arithmetic.

Without flags it learns 8-bit binary addition in about half a minute on two cores. Every option of the chosen preset
is a flag. Ctrl-C finishes the step, saves and exits with code 130 (SIGTERM: 143; a closed terminal: 129); --resume
goes on to the very same bits."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags and do what they ask for; returns the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    base = presets_chosen(words)[-1]
    parser = make_train_parser(base.config)
    args = parser.parse_args(words)
    if args.help_all:
        make_train_parser(base.config, more=True).print_help()
        return 0
    if args.list_presets is not None:
        from tinygrad_arith.cli.summary import print_preset, print_presets

        if not args.list_presets:
            print_presets()
            return 0
        with as_misuse():
            print_preset(load_preset(args.list_presets))
        return 0
    if args.resume is not None:
        return resume(args, parser)
    return start(args, base)


def make_train_parser(config: Config, more: bool = False) -> Parser:
    """All flags of this command, those of this configuration's kinds among them, or of all kinds (`more`)."""
    parser = make_parser("train", DESCRIPTION)
    run = parser.add_argument_group("run")
    run.add_argument("--preset", metavar="NAME", help=f"the configuration to start from (default: {DEFAULT_PRESET})")
    run.add_argument(
        "--list-presets",
        nargs="?",
        const="",
        metavar="NAME",
        help="list the presets and stop; with a name, tell all about that one",
    )
    run.add_argument(
        "--dry-run", action="store_true", help="check every shape, show the model and its memory, and stop"
    )
    run.add_argument(
        "--until",
        type=goal_value,
        metavar="FLOAT",
        help="stop once the goal metric on the validation examples is as good as this, such as exact match 0.999; "
        "none: never (default: never, or with --resume what the run has)",
    )
    run.add_argument("--out", type=some_path, metavar="DIR", help="directory of the run (default: a new one in runs/)")
    run.add_argument(
        "--resume",
        nargs="?",
        const=NEWEST,
        type=some_path,
        metavar="RUN",
        help="go on with a run, by default the newest in runs/. Its options come from the run: of the other flags only "
        "--until may be given, and --steps if the run's --schedule is constant",
    )
    run.add_argument("--help-all", action="store_true", help="this help, with the options of every kind, and stop")
    add_config_flags(parser, config, more=more)
    return parser


def goal_value(text: str) -> float:
    """A finite number above 0; NO_GOAL for `none`."""
    if text == "none":
        return NO_GOAL
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, or none, not {text}")
    return value


def start(args: argparse.Namespace, base: Preset) -> int:
    """Train a new run, or only plan it (--dry-run)."""
    from tinygrad_arith.cli.ineffective_flags import ineffective_flags
    from tinygrad_arith.cli.summary import print_dry_run
    from tinygrad_arith.training.runs import RunRecord
    from tinygrad_arith.training.session import check_goal, new_session, plan

    with as_misuse():
        config = with_options(load_preset(base.name).config, given_flags(args)).resolved()
    record = RunRecord(config, base.name, args.until or None)
    if args.dry_run:
        with as_misuse():
            task, model = plan(config)
        check_goal(task, record.until)
        print_dry_run(record, task, model)
        return 0
    with new_session(record, args.out) as session:
        for sentence in ineffective_flags(given_flags(args), config, session.device):
            warn(sentence)
        return train(session)


def resume(args: argparse.Namespace, parser: Parser) -> int:
    """Go on with a run that was stopped."""
    from tinygrad_arith.training.runs import newest_run
    from tinygrad_arith.training.session import resumed_session

    given = given_flags(args)
    steps = given.get("training", {}).pop("steps", None)
    conflicts = [flag for flag in given_names(args) if flag != "--steps"]
    conflicts += [flag_name(name) for name in ("preset", "out", "dry_run") if getattr(args, name)]
    if conflicts:
        parser.error(f"{conflicts[0]}: not with --resume, which takes every option from the run")
    directory = newest_run() if args.resume is NEWEST else args.resume
    with resumed_session(directory, steps, args.until) as session:
        return train(session)


def train(session: "Session") -> int:
    """Train, test, draw the curve, and say how it went; returns the exit code."""
    from tinygrad_arith.cli.summary import print_plan
    from tinygrad_arith.training.runs import resume_command
    from tinygrad_arith.training.threads import settle_process

    settle_process(session.record.config.training.blas_threads)
    go_on = resume_command(session.directory)
    try:
        print_plan(session)
        return train_and_test(session, go_on)
    except BrokenPipeError as error:  # before the first step or after the last one: there is nothing to save
        return lost_output(error, f"go on with: {go_on}")


def train_and_test(session: "Session", go_on: str) -> int:
    """Train, then test; `go_on` is the command that takes the run up again. Returns the exit code."""
    from tinygrad_arith.cli.progress import make_reporter
    from tinygrad_arith.training.trainer import Trainer

    trainer = Trainer(session, make_reporter(session.task.goal))
    outcome = trainer.run()
    step = trainer.progress.step
    if outcome.signal is not None:
        if outcome.output_error is not None:  # Ctrl-C on `train | tee log` ends `tee` too: a signal all the same
            leave_output()
        print(f"Stopped after step {step}; saved. Go on with:\n{go_on}", file=sys.stderr)
        return 128 + outcome.signal  # as shells have it; EXIT_INTERRUPTED after Ctrl-C
    if outcome.output_error is not None:
        return lost_output(outcome.output_error, f"stopped after step {step} and saved; go on with: {go_on}")
    try:
        conclude(session, trainer.progress)
    except KeyboardInterrupt:
        print(f"Interrupted after the training, which is saved. Test it with:\n{go_on}", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def conclude(session: "Session", progress: "Progress") -> None:
    """Test the trained model, print what came out and draw the curve."""
    from tinygrad_arith.cli.summary import print_result
    from tinygrad_arith.plots.training_curve import plot_training_curve
    from tinygrad_arith.training.runs import write_result

    metrics = session.task.evaluate(session.model, "test")
    previews = session.task.preview(session.model, metrics)
    write_result(session.directory, progress.step, progress.seconds, metrics)
    print_result(session.directory, progress, metrics, previews)
    picture = None
    with only_warn(f"the curves of loss and {session.task.goal.title}"):
        picture = plot_training_curve(session.directory, session.task.goal)
    if picture is not None:
        print(f"The curves of loss and {session.task.goal.title} are in {picture}")
