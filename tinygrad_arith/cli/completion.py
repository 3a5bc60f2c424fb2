"""Scripts by which a shell completes commands, flags and their values.

The library shtab writes them, once: no Python is started when the Tab key is pressed.
"""

import argparse
import importlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ..options.errors import MachineError
from ..training.config import SECTIONS, Config
from ..training.presets import preset_names
from .flags import Parser

SHELLS = ("bash", "zsh", "tcsh", "fish", "powershell")
PATHS = {"FILE": "FILE", "DIR": "DIRECTORY", "RUN": "DIRECTORY"}  # what shtab calls that which a metavar stands for
PRESETS = ("--preset", "--list-presets", "--show")  # flags whose value is the name of one
CONFIGURED: dict[str, tuple[Any, ...]] = {  # commands with the flags of a configuration
    "train": (Config(),),
    "compare": ((Config(),),),
    "peek": (Config(),),
}


def print_completion(shell: str, make_parser: Callable[..., Parser], commands: Iterable[str]) -> None:
    """Print the script of a shell. Raises MachineError, one sentence, where shtab is missing or does not know it."""
    try:
        import shtab
    except ImportError as error:
        what = 'shtab is not installed; install it with: pip install -e ".[completion]"'
        raise MachineError(f"--print-completion: {what}") from error
    if shell not in shtab.SUPPORTED_SHELLS:
        known = ", ".join(shtab.SUPPORTED_SHELLS)
        raise MachineError(f"--print-completion {shell}: the installed shtab knows {known}; update it")
    flags = {command: flags_of(command) for command in commands}
    for parser in flags.values():
        add_values(parser, shtab)
    print(shtab.complete(make_parser(flags=flags), shell))


def flags_of(command: str) -> Parser:
    """The parser of a command with the flags of every kind."""
    make = getattr(importlib.import_module(f"{__package__}.{command}"), f"make_{command}_parser")
    return make(*CONFIGURED[command], more=True) if command in CONFIGURED else make()


def add_values(parser: Parser, shtab: Any) -> None:
    """Say in the words of shtab which values the flags of a parser may have. It can parse nothing afterwards."""
    for action in parser._actions:
        values = values_of(action)
        if values:
            action.choices = list(values)
        elif action.metavar in PATHS:
            action.complete = getattr(shtab, PATHS[action.metavar])  # type: ignore[attr-defined]


def values_of(action: argparse.Action) -> Iterable[str]:
    """The values among which a flag chooses; nothing where they cannot be listed."""
    section, _, name = action.dest.partition(".")
    if name == "kind":
        return SECTIONS[section].places
    if isinstance(action.type, partial):  # the flag of an option
        return map(str, action.type.args[0].metadata["choices"])
    return preset_names() if set(PRESETS) & set(action.option_strings) else ()
