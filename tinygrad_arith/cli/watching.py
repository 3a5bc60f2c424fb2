"""The flags of the train command that say what is told while it trains; they change nothing in the run."""

import argparse
from typing import TYPE_CHECKING

from ..tasks.answering import AnsweringTask
from ..training.reporter import Reporter, Reporters
from ..training.tensorboard import TensorBoardReporter, check_tensorboard
from .console import warn
from .flags import Parser, positive, some_path
from .previews import PreviewReporter
from .progress import make_reporter

if TYPE_CHECKING:  # it loads the libraries of the CPU, which --help does without
    from ..training.trainer import Session


def add_watching_flags(parser: Parser) -> None:
    """Add these flags to the command's own."""
    shown = "at every so many evaluations, show the model's answers to a few validation problems (default: never)"
    parser.add_flag("--preview INT", shown, positive)
    events = "also write the metrics for TensorBoard, into a folder of the run's name in this one; needs tensorboardX"
    parser.add_flag("--tensorboard DIR", events, some_path)


def check_watching(args: argparse.Namespace) -> None:
    """Raise MachineError, before anything is made, if what these flags ask for is not installed."""
    if args.tensorboard is not None:
        check_tensorboard()


def watching(args: argparse.Namespace, session: "Session") -> Reporter:
    """The reporters that these flags ask for, and the progress; its bar is the last to start, since others may fail."""
    reporters: list[Reporter] = []
    progress = make_reporter(session.task.goal)
    if args.preview is not None and isinstance(session.task, AnsweringTask):
        reporters.append(PreviewReporter(session, session.task, args.preview, progress))
    elif args.preview is not None:
        warn("--preview: has no effect on this task, which is none of problems with answers")
    if args.tensorboard is not None:
        reporters.append(TensorBoardReporter(args.tensorboard / session.directory.resolve().name))
    return Reporters([*reporters, progress])
