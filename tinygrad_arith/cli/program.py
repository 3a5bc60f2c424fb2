"""All commands under one name: `tinygrad-arith train`, or `python -m tinygrad_arith train`."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from ..options.calling import as_typed, called_through
from ..options.errors import MisuseError
from ..options.option import did_you_mean
from .completion import SHELLS, print_completion
from .console import run_command
from .flags import Parser, make_parser

PROGRAM = ("tinygrad-arith",)
COMMANDS = {  # each is the module of this name beside this file
    "train": "train a model, or go on with a run",
    "sample": "ask a trained model problems",
    "evaluate": "measure a trained model on problems that it has never seen",
    "compare": "train or gather several runs and set them side by side",
    "plot": "draw what runs have learned",
    "peek": "show a training batch as the model sees it",
    "gradcheck": "check every gradient, or those of your own operations",
}
DESCRIPTION = "Transformers with every gradient written by hand, that learn arithmetic."


def run(program: Sequence[str] = PROGRAM) -> None:
    """Run the command that the command line names, and exit. `program` is how the user has called it."""
    run_command(partial(main, program=program))


def main(argv: Sequence[str] | None = None, program: Sequence[str] = PROGRAM) -> int:
    """Run a command, or list them; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and not words[0].startswith("-"):
        return run_one(words[0], words[1:], program)
    parser = make_program_parser(as_typed(program))
    args = parser.parse_args(words)
    if args.print_completion is not None:
        print_completion(args.print_completion, partial(make_program_parser, *PROGRAM), COMMANDS)
    else:
        parser.print_help()
    return 0


def run_one(command: str, words: Sequence[str], program: Sequence[str]) -> int:
    """Run one command with its flags; returns its exit code. Raises MisuseError, which names the nearest, if there is
    none of that name.
    """
    if command == "help":  # as other programs have it
        return run_one(words[0], ["--help"], program) if words else main([], program)
    if command not in COMMANDS:
        meant = did_you_mean(command, COMMANDS)
        raise MisuseError(f"{command}: there is no such command{meant} ({as_typed(program)} lists them)")
    with called_through(program):
        return importlib.import_module(f"{__package__}.{command}").main(words) or 0


def make_program_parser(program: str, flags: Mapping[str, Parser] | None = None) -> Parser:
    """The parser of the program itself. Of the commands it has the names and, where `flags` holds them, the flags."""
    parser = make_parser("", DESCRIPTION, program=program)
    parser.add_flag(
        "--print-completion SHELL", f"print a script that completes words on Tab: {', '.join(SHELLS)}", choices=SHELLS
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", prog=program)
    for name, line in COMMANDS.items():
        commands.add_parser(name, help=line, add_help=False, parents=[flags[name]] if flags else [])
    parser.epilog = f"{program} COMMAND --help tells all about one."
    return parser
