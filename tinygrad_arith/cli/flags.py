"""Command-line flags: one for every field of the configuration, with typo help."""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..options.option import TYPE_WORDS, complaint_about, did_you_mean, flag_name, range_in_words
from ..training.config import Config, all_fields, with_options
from .console import EXIT_MISUSE

METAVARS: dict[Any, str] = {int: "INT", float: "FLOAT", str: "WORD"}


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that answers misuse with one line: what is wrong, and the flag that was probably meant."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse, or exit with code 2 after naming the nearest flag for one that is not known."""
        words = list(sys.argv[1:] if args is None else args)
        self.check_values(words)
        parsed, unknown = self.parse_known_args(words, namespace)
        unknown = [word for word in unknown if word != "--"]  # which only says that no flag follows
        for word in unknown:
            if word.startswith("-"):
                flag = word.split("=", 1)[0]
                self.error(f"unknown flag {flag}{did_you_mean(flag, self.known_flags())}")
        if unknown:
            self.error(f"unexpected argument {unknown[0]!r}")
        return parsed

    def check_values(self, words: Sequence[str]) -> None:
        """Exit with code 2 for `--flag=--`: argparse makes an empty list of it."""
        flags = words[: words.index("--")] if "--" in words else words
        for word in flags:
            if word.startswith("-") and word.endswith("=--") and word.removesuffix("=--") in self.known_flags():
                self.error(f"{word.removesuffix('=--')}: needs a value, and -- is none")

    def format_help(self) -> str:
        """The help, with a usage line that names the arguments only: listing all flags there would hide them."""
        arguments = [str(a.metavar or a.dest.upper()) for a in self._actions if not a.option_strings]
        self.usage = " ".join(["%(prog)s", *arguments, "[flags]"])
        return super().format_help()

    def known_flags(self) -> list[str]:
        """Every flag of this parser, long and short."""
        return [flag for action in self._actions for flag in action.option_strings]

    def error(self, message: str) -> NoReturn:
        """Print one line on stderr and exit with code 2."""
        message = message.removeprefix("argument ")
        print(f"error: {message} (--help lists every flag)", file=sys.stderr)
        sys.exit(EXIT_MISUSE)


def make_parser(prog: str, description: str) -> Parser:
    """The parser of a door, without flags yet. No abbreviations: a flag that works today works after the next one."""
    return Parser(
        prog=f"python -m tinygrad_arith.{prog}",
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_config_flags(
    parser: argparse.ArgumentParser, sections: tuple[str, ...] | None = None, defaults: Config | None = None
) -> None:
    """Add a flag for every field of the given sections (all, if none are given), grouped by section.

    `defaults` is what the help shows as default. A flag that is not given leaves nothing behind in the parsed
    arguments: `config_from_flags` then keeps the preset's value.
    """
    defaults = defaults or Config()
    groups: dict[str, Any] = {}
    for section, option in all_fields(sections):
        if section not in groups:
            groups[section] = parser.add_argument_group(section)
        add_flag(groups[section], section, option, getattr(getattr(defaults, section), option.name))


def add_flag(group: Any, section: str, option: dataclasses.Field, default: Any) -> None:
    """Add the flag of one field; its value will be stored under `section.field`."""
    common = {"dest": f"{section}.{option.name}", "default": argparse.SUPPRESS}
    meaning = option.metadata["help"].replace("%", "%%")
    flag = flag_name(option.name)
    if option.type is bool:
        shown = "on" if default else "off"
        group.add_argument(flag, action=argparse.BooleanOptionalAction, help=f"{meaning} (default: {shown})", **common)
        return
    choices = option.metadata.get("choices") or ()
    metavar = "{" + ",".join(str(choice) for choice in choices) + "}" if choices else METAVARS[option.type]
    group.add_argument(
        flag,
        type=converter(option),
        metavar=metavar,
        help=f"{meaning}{limits(option)} (default: {'none' if default == '' else default})",
        **common,
    )


def add_device_flag(parser: argparse.ArgumentParser) -> None:
    """The `--device` of a door that opens a run; the run's own device is where it was trained."""
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where to compute; auto: on a GPU if there is one (default: auto)",
    )


def positive(text: str) -> int:
    """A whole number from 1 on, as the type of a door's own flag."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text}")
    return int(text)


def whole(text: str) -> int:
    """A whole number from 0 on that any part of a random key can hold, as the type of a door's own flag."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2**32 - 1, not {text}")
    return int(text)


def some_path(text: str) -> Path:
    """A path, as the type of a flag; an empty one, mostly a shell's variable that is not set, would be this folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must be a path, but is empty")
    return Path(text)


def limits(option: dataclasses.Field) -> str:
    """The allowed range of a numeric field, for its help; nothing where every value is allowed."""
    low, high = option.metadata.get("range") or (None, None)
    return "" if low is None and high is None else f"; {range_in_words(low, high)}"


def converter(option: dataclasses.Field) -> Callable[[str], Any]:
    """A function from a flag's text to the field's value; it raises argparse's error with the rule that is broken."""

    def convert(text: str) -> Any:
        try:
            value = option.type(text)  # type: ignore[operator]  # int, float or str
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be {TYPE_WORDS[option.type]}, not {text!r}") from None
        complaint = complaint_about(option, value)
        if complaint:
            raise argparse.ArgumentTypeError(f"{complaint}, not {text}")
        return value

    return convert


def config_from_flags(args: argparse.Namespace, base: Config) -> Config:
    """`base` with the values of those flags that were given; see `with_options`."""
    return with_options(base, given_flags(args))


def given_flags(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The configuration flags that the user gave, as {section: {field: value}}."""
    given: dict[str, dict[str, Any]] = {}
    for name, value in vars(args).items():
        section, dot, field_name = name.partition(".")
        if dot:
            given.setdefault(section, {})[field_name] = value
    return given
