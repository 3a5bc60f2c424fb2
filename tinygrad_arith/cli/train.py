"""Train a model: `python -m tinygrad_arith.train`. Ctrl-C saves first; `--resume` goes on from there."""

import argparse
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..options.errors import as_misuse
from ..options.option import flag_name
from ..options.system import reader_left
from ..plots.training_curve import plot_training_curve
from ..run_files.checkpoints import Progress
from ..training.config import Config, with_options
from ..training.presets import DEFAULT_PRESET, Preset, load_preset
from ..training.runs import RunRecord, newest_run, resume_command
from .console import EXIT_INTERRUPTED, leave_output, lost_output, only_warn, warn
from .flags import HELP_ALL, Parser, add_config_flags, checked, given_names, make_parser, presets_chosen, some_path
from .ineffective_flags import ineffective_flags
from .watching import add_watching_flags, check_watching, watching

if TYPE_CHECKING:  # `session` and `summary` load the libraries of the CPU, which --help does without
    from ..training.trainer import Session

NEWEST = object()  # what `--resume` without a directory stands for
NO_GOAL = 0.0  # what `--until none` stands for
DESCRIPTION = """Train a transformer, whose every gradient was written by hand, to do arithmetic.

Without flags it learns 8-bit binary addition in about 15 seconds on two cores. Every option of the chosen preset
is a flag. Ctrl-C finishes the step, saves and exits with code 130 (SIGTERM: 143; a closed terminal: 129); --resume
goes on to the very same bits."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags and do what they ask for; returns the exit code."""
    preset, config = presets_chosen(argv, files=True)[-1]
    words = sys.argv[1:] if argv is None else argv
    resumes = any(word.partition("=")[0] == "--resume" for word in words)
    parser = make_train_parser(config, more=resumes)  # a run of any kind, which no flag contradicts
    args = parser.parse_args(argv)
    if args.help_all:
        make_train_parser(config, more=True).print_help()
        return 0
    if args.list_presets is not None or args.show is not None:
        return list_presets(args.show or args.list_presets, "--show" if args.show else "--list-presets")
    if args.config is not None and args.preset is not None:
        parser.error("--config: not with --preset; the file is what the options start from")
    return start(args, preset) if args.resume is None else resume(args, parser)


def make_train_parser(config: Config, more: bool = False) -> Parser:
    """All flags of this command, those of this configuration's kinds among them, or of all kinds (`more`)."""
    parser = make_parser("train", DESCRIPTION, "run")
    parser.add_flag("--preset NAME", f"the configuration to start from (default: {DEFAULT_PRESET})")
    shown = "python -m pydoc tinygrad_arith.training.config_file shows one"
    own = f"the configuration to start from: a file of your own, written like a preset ({shown})"
    parser.add_flag("--config FILE", own, some_path)
    parser.add_flag("--list-presets [NAME]", "list the presets and stop; with a name, as --show", const="")
    parser.add_flag("--show NAME", "tell all about a preset, also as flags, and stop")
    parser.add_flag("--dry-run", "check every shape, show the model and its memory, and stop")
    parser.add_flag(
        "--until FLOAT",
        "stop once the goal metric on the validation examples is as good as this, such as exact match 0.999; "
        "none: never (default: never, or with --resume what the run has)",
        goal_value,
    )
    add_watching_flags(parser)
    parser.add_flag("--out DIR", "directory of the run (default: a new one in runs/)", some_path)
    parser.add_flag(
        "--resume [RUN]",
        "go on with a run, by default the newest in runs/. Its options come from the run: of the other flags only "
        "--until, --preview and --tensorboard may be given, and --steps if the run's --schedule is constant",
        some_path,
        const=NEWEST,
    )
    parser.add_flag("--help-all", HELP_ALL)
    add_config_flags(parser, config, more=more)
    return parser


def goal_value(text: str) -> float:
    """A finite number above 0; NO_GOAL for `none`."""
    above_0 = checked(float, lambda value: 0 < value < math.inf, "a number above 0, or none")
    return NO_GOAL if text == "none" else above_0(text)


def list_presets(name: str, flag: str) -> int:
    """List all presets, or tell all about one; `flag` is what asks for it."""
    from .summary import print_preset, print_presets

    if not name:
        print_presets()
        return 0
    with as_misuse():
        print_preset(load_preset(name, flag))
    return 0


def start(args: argparse.Namespace, preset: Preset) -> int:
    """Train a new run, or only plan it (--dry-run)."""
    from ..training.session import check_goal, new_session, plan
    from .summary import print_dry_run

    with as_misuse():
        config = with_options(preset.config, args.given).resolved()
    record = RunRecord(config, preset.name, args.until or None)
    if args.dry_run:
        with as_misuse():
            task, model = plan(config)
        check_goal(task, record.until)
        print_dry_run(record, task, model)
        return 0
    check_watching(args)
    with new_session(record, args.out) as session:
        for sentence in ineffective_flags(args.given, config, session.device):
            warn(sentence)
        return train(session, args)


def resume(args: argparse.Namespace, parser: Parser) -> int:
    """Go on with a run that was stopped."""
    from ..training.session import resumed_session

    steps = args.given.get("training", {}).get("steps")
    conflicts = [flag for flag in given_names(args) if flag != "--steps"]
    conflicts += [flag_name(name) for name in ("preset", "config", "out", "dry_run") if getattr(args, name)]
    if conflicts:
        parser.error(f"{conflicts[0]}: not with --resume, which takes every option from the run")
    check_watching(args)
    directory = newest_run() if args.resume is NEWEST else args.resume
    with resumed_session(directory, steps, args.until) as session:
        return train(session, args)


def train(session: "Session", args: argparse.Namespace) -> int:
    """Train, test, draw the curve, and say how it went; returns the exit code."""
    from ..training.threads import matrix_threads

    with matrix_threads(session.record.config.training.blas_threads):  # whoever calls `main` has theirs afterwards
        return train_and_conclude(session, args)


def train_and_conclude(session: "Session", args: argparse.Namespace) -> int:
    """The same, in as many threads as there are."""
    from ..training.trainer import Trainer
    from .summary import print_plan

    go_on = resume_command(session.directory)
    try:
        print_plan(session)
        trainer = Trainer(session, watching(args, session))
        outcome = trainer.run()
        step = trainer.progress.step
        if outcome.signal is not None:
            if outcome.output_error is not None:  # Ctrl-C on `train | tee log` ends `tee` too: a signal all the same
                leave_output()
            print(f"Stopped after step {step}; saved. Go on with:\n{go_on}", file=sys.stderr)
            return 128 + outcome.signal  # as shells have it; EXIT_INTERRUPTED after Ctrl-C
        if outcome.output_error is not None:
            return lost_output(outcome.output_error, f"stopped after step {step} and saved; go on with: {go_on}")
        return conclude(session, trainer.progress, go_on)
    except OSError as error:
        if not reader_left(error):
            raise
        return lost_output(error, f"go on with: {go_on}")  # before or after all steps: there is nothing to save


def conclude(session: "Session", progress: Progress, go_on: str) -> int:
    """Test the trained model, print what came out and draw the curve; returns the exit code."""
    from ..training.trainer import note_result
    from .summary import print_result

    try:
        metrics = session.task.evaluate(session.model, "test")
        previews = session.task.preview(session.model, metrics)
        reached = note_result(session, progress, metrics)
        print_result(session, progress, metrics, previews, reached)
        picture, curves = None, f"curves of loss and {session.task.goal.title}"
        with only_warn(f"the {curves}"):
            picture = plot_training_curve(session.directory, session.task.goal)
        if picture is not None:
            print(f"The {curves} are in {picture}")
    except KeyboardInterrupt:
        print(f"Interrupted after the training, which is saved. Test it with:\n{go_on}", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0
