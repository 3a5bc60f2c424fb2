"""Command-line flags: those of a command alone, and one for every field of the configuration, with typo help."""

import argparse
import contextlib
import dataclasses
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from ..options.calling import command_words
from ..options.errors import as_misuse
from ..options.habits import meant_flag
from ..options.kinds import field_names, foreign
from ..options.option import TYPE_WORDS, complaint_about, flag_name, flag_of, meant_choice
from ..options.words import shortened
from ..training.config import SECTIONS, Config, with_options
from ..training.config_file import load_config_file
from ..training.presets import DEFAULT_PRESET, Preset, load_preset, preset_names
from .console import EXIT_MISUSE
from .help_text import NARROW, HelpFormatter
from .version import ShowVersion

HELP_ALL = "this help, with the options of every kind, and stop"
LONG_WORD = re.compile(r"\S{500,}")  # longer than a path in a sentence
ARGUMENTS: dict[Any, str] = {"?": "[{}]", "*": "[{}...]"}  # as a usage line has those that may be left out
METAVARS: dict[Any, str] = {int: "INT", float: "FLOAT", str: "WORD"}


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that answers misuse with one line: what is wrong, and the flag that was probably meant.

    own:        the group of the command's own flags
    intermixed: whether flags may stand between the arguments
    configs:    whose options have flags, see `add_config_flags`
    """

    own: Any
    intermixed = False
    configs: Sequence[Config] = ()
    sections: Sequence[str] = ()

    def add_flag(self, usage: str, help: str, type: Callable[[str], Any] = str, **more: Any) -> None:
        """Add a flag of the command's own: `--count INT` has a value, `--out [DIR]` may have one, `--json` has none. Or
        an argument, `run RUN`. The help ends with the default; `more` is for `add_argument`.
        """
        flag, _, metavar = usage.partition(" ")
        if metavar.startswith("["):
            more["nargs"] = "?"
        if metavar:
            more |= {"type": type, "metavar": metavar.strip("[]")}
        elif "choices" not in more:
            more["action"] = "store_true"
        self.own.add_argument(flag, help=help + " (default: %(default)s)" * ("default" in more), **more)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse, or exit with code 2 after naming the nearest flag for one that is not known.

        `given` holds the options of configurations that the user gave, as {section: {field: value}}.
        """
        words = list(sys.argv[1:] if args is None else args)
        flags = words[: words.index("--")] if "--" in words else words
        for word in flags:
            flag = word.removesuffix("=--")
            if flag != word and flag in self.known_flags():
                self.error(f"{flag}: needs a value, and -- is none")  # argparse makes an empty list of it
        behind = words[len(flags) + 1 :]  # the --, which says that no flag follows
        if self.intermixed:
            parsed, unknown = self.parse_known_intermixed_args(flags, namespace)
        else:
            parsed, unknown = self.parse_known_args(words, namespace)
        unknown = [word for word in unknown if word != "--"]
        for word in unknown:
            if word.startswith("-") and word not in behind:
                flag = word.split("=", 1)[0]
                self.error(foreign_flag(flag, self) or f"unknown flag {flag}{meant_flag(flag, self.known_flags())}")
        if unknown:
            self.error(f"unexpected argument {unknown[0]!r}{self.meant_by(unknown[0], unknown[0] in behind)}")
        if self.intermixed and behind:
            self.add_arguments(parsed, behind)
        given: dict[str, dict[str, Any]] = {}
        for name, value in vars(parsed).items():
            section, dot, field_name = name.partition(".")
            if dot:
                given.setdefault(section, {})[field_name] = value
        parsed.given = given
        return parsed

    def add_arguments(self, parsed: argparse.Namespace, words: Iterable[str]) -> None:
        """Add words to what was parsed as arguments, whatever they begin with: the last argument takes any number."""
        actions = [action for action in self._actions if not action.option_strings]
        for word in words:
            action = next((a for a in actions[:-1] if getattr(parsed, a.dest) is None), actions[-1])
            try:
                value = self._get_value(action, word)
            except argparse.ArgumentError as error:
                self.error(str(error))
            setattr(parsed, action.dest, value if action is not actions[-1] else [*getattr(parsed, action.dest), value])

    def meant_by(self, word: str, behind: bool) -> str:
        """The end of a sentence about a word that is no argument: the flag that it was meant for, or nothing.

        behind: whether it stands behind a --
        """
        known = self.known_flags()
        if behind and word.split("=", 1)[0] in known:
            return ": behind -- there are no flags; leave the -- out"
        if "--preset" in known and word in preset_names():
            return f"; did you mean --preset {word}?"
        if "--task" in known and word in SECTIONS["task"].places:
            return f"; did you mean --task {word}?"
        if "--config" in known and word.endswith(".toml"):
            return f"; did you mean --config {word}?"
        if "--resume" in known and (os.path.isdir(word) or word == "resume"):
            return f"; did you mean --resume{f' {word}' * os.path.isdir(word)}?"
        return ""

    def format_help(self) -> str:
        """The help, with a usage line that names the arguments only: listing all flags there would hide them."""
        arguments = [
            ARGUMENTS.get(a.nargs, "{}").format(a.metavar or a.dest.upper())
            for a in self._actions
            if not a.option_strings
        ]
        self.usage = " ".join(["%(prog)s", *arguments, "[flags]"])
        return super().format_help()

    def known_flags(self) -> list[str]:
        """Every flag of this parser, long and short."""
        return [flag for action in self._actions for flag in action.option_strings]

    def error(self, message: str) -> NoReturn:
        """Print one line on stderr and exit with code 2."""
        message = message.removeprefix("argument ")
        for action in self._actions:
            names = "/".join(action.option_strings)
            if action.nargs != 0 and message.startswith(f"{names}:"):  # one name for one thing
                message = message.replace(names, action.option_strings[0], 1)
        message = LONG_WORD.sub(lambda found: shortened(found[0]), message)
        lister = "--help-all" if "--help-all" in self.known_flags() else "--help"
        print(f"error: {message} ({lister} lists every flag)", file=sys.stderr)
        sys.exit(EXIT_MISUSE)


def make_parser(command: str, description: str, group: str = "", program: str = "") -> Parser:
    """A parser with --help and --version; the command's own flags will be listed in a group if that has a name.

    program: how it is called, where it is none of the commands

    There are no abbreviations: what is one flag's today could be two flags' after the next one.
    """
    prog = program or " ".join(command_words(command))
    indent = 6 if shutil.get_terminal_size().columns < NARROW else 24
    formatter = partial(HelpFormatter, max_help_position=indent)
    parser = Parser(prog=prog, description=description, allow_abbrev=False, formatter_class=formatter)
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="show the version and exit")
    parser.own = parser.add_argument_group(group) if group else parser
    return parser


def add_config_flags(parser: Parser, *configs: Config, sections: Iterable[str] = SECTIONS, more: bool = False) -> None:
    """Add a flag for every option of these configurations' kinds, grouped by section.

    The first configuration's values are what the help shows as defaults. A flag that is not given leaves nothing behind
    in the parsed arguments: the preset's value is then kept. With `more`, the options of all other kinds follow.
    """
    parser.configs, parser.sections = configs, tuple(sections)
    for section in sections:
        chosen = [(section, getattr(config, section)) for config in configs]
        others = SECTIONS[section].places if more and SECTIONS[section].flag else ()
        chosen += [(f"{section} of {kind}", SECTIONS[section].options_of(kind)()) for kind in others]
        added = {"kind"} if not SECTIONS[section].flag else set()
        for title, options in chosen:
            fields = {field.name: field for field in dataclasses.fields(options)}
            new = [fields[name] for name in field_names(options) if name not in added]
            group = parser.add_argument_group(title) if new else None
            for field in new:
                add_option(group, section, field, getattr(options, field.name))
            added |= {field.name for field in new}


def add_option(group: Any, section: str, field: dataclasses.Field, default: Any) -> None:
    """Add the flag of one field; its value will be stored under `section.field`."""
    common = {"dest": f"{section}.{field.name}", "default": argparse.SUPPRESS}
    meaning = field.metadata["help"].replace("%", "%%").replace("{kinds}", ", ".join(SECTIONS[section].places))
    if field.type is bool:
        shown = "on" if default else "off"
        action = argparse.BooleanOptionalAction
        group.add_argument(flag_of(field), action=action, help=f"{meaning} (default: {shown})", **common)
        return
    choices = field.metadata["choices"]
    group.add_argument(
        flag_of(field),
        *field.metadata["also"],
        type=partial(value_of, field),
        metavar="{" + ",".join(map(str, choices)) + "}" if choices else METAVARS[field.type],
        help=f"{meaning}{field.metadata['limits']} (default: {'none' if default == '' else default})",
        **common,
    )


def presets_chosen(
    words: Sequence[str] | None, sections: Iterable[str] = SECTIONS, files: bool = False
) -> list[tuple[Preset, Config]]:
    """The presets that flags name, or the default one, and their configurations with the kinds that flags choose: which
    other flags there are, follows from these. With `files`, --config may name a file instead.

    Raises MisuseError if there is no such preset, file or kind.
    """
    words = sys.argv[1:] if words is None else words
    flags = {name: SECTIONS[name].flag for name in sections if SECTIONS[name].flag}
    first = Parser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", action="append")
    if files:
        first.add_argument("--config", type=some_path)
    for section, flag in flags.items():
        first.add_argument(flag, dest=section)
    found = vars(first.parse_known_args([word for word in words if word != "--"])[0])
    kinds = {section: {"kind": found[section]} for section in flags if found[section] is not None}
    with as_misuse():
        if file := found.get("config"):
            presets = [load_config_file(file)]
        else:
            presets = [load_preset(name) for name in dict.fromkeys(found["preset"] or [DEFAULT_PRESET])]
        return [(preset, with_options(preset.config, kinds)) for preset in presets]


def foreign_flag(flag: str, parser: "Parser") -> str | None:
    """A sentence about a flag of a kind that was not chosen; None if it is none, or the command has no such flags."""
    name = flag.removeprefix("--").removeprefix("no-").replace("-", "_")
    for section in parser.sections:
        kinds, options = SECTIONS[section], getattr(parser.configs[0], section)
        if kinds.flag and name != "kind" and name not in field_names(options) and kinds.owners(name):
            return foreign(name, options.kind, kinds).replace("--" + name.replace("_", "-"), flag, 1)
    return None


def given_names(args: argparse.Namespace) -> list[str]:
    """The configuration flags that the user gave, as they are written: `--task`, `--d-model`."""
    return [
        SECTIONS[section].flag if name == "kind" else flag_name(name)
        for section, fields in args.given.items()
        for name in fields
    ]


def add_device_flag(parser: Parser) -> None:
    """The `--device` of a command that opens a run; the run's own device is where it was trained."""
    where = "where to compute; auto: on a GPU if there is one"
    parser.add_flag("--device", where, choices=("auto", "cpu", "cuda"), default="auto")


def add_best_flag(parser: Parser) -> None:
    """The `--best` of a command that opens the model of a run."""
    parser.add_flag("--best", "the model of the checkpoint that did best in training, and not of the newest")


def checked(read: Callable[[str], Any], fits: Callable[[Any], bool], rule: str) -> Callable[[str], Any]:
    """The type of a command's own flag: what `read` makes of the text, if it `fits`; otherwise the rule is told."""

    def value_of_text(text: str) -> Any:
        with contextlib.suppress(ValueError):
            value = read(text)
            if fits(value):
                return value
        raise argparse.ArgumentTypeError(f"must be {rule}, {f'not {text}' if text.strip() else 'but is empty'}")

    return value_of_text


def digits_only(text: str) -> int:
    """A whole number that is written in digits alone; ValueError for another text."""
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


positive = checked(digits_only, lambda value: value >= 1, "a whole number of at least 1")
whole = checked(digits_only, lambda value: value < 2**32, "a whole number from 0 to 2**32 - 1")  # for random keys


def some_path(text: str) -> Path:
    """A path, as the type of a flag; an empty one, mostly a shell's variable that is not set, would be this folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must be a path, but is empty")
    return Path(text)


def not_empty(text: str) -> str:
    """A path, or something else that is no path; an empty text is told as an empty path, see `some_path`."""
    some_path(text)
    return text


def value_of(field: dataclasses.Field, text: str) -> Any:
    """The value of a field from a flag's text; raises argparse's error with the rule that is broken."""
    try:
        value = field.type(text)  # type: ignore[operator]  # int, float or str
    except ValueError:
        told = f"not {text!r}" if text.strip() else "but is empty"
        raise argparse.ArgumentTypeError(f"must be {TYPE_WORDS[field.type]}, {told}") from None
    complaint = complaint_about(field, value)
    if complaint:
        raise argparse.ArgumentTypeError(f"{complaint}, not {text}{meant_choice(field, value)}")
    return value
