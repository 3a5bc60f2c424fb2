"""Keyword arguments of a program instead of flags of a command: read against the same options, told of as arguments."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..options.errors import UserError
from ..options.kinds import field_names
from ..options.option import did_you_mean, flag_of, other_names
from ..training.config import SECTIONS, Config, with_options

FLAG = re.compile(r"--(?:no-)?([a-z][a-z0-9-]*)")
FLAG_WITH_VALUE = re.compile(r"--([a-z][a-z0-9-]*) ([^\s:]+):")


@contextmanager
def speaking_of_arguments() -> Iterator[None]:
    """Errors of the user, which name flags, name arguments instead: `--eval-size 5:` becomes `eval_size=5:`."""
    try:
        yield
    except UserError as error:
        raise type(error)(of_arguments(str(error))) from error.__cause__


def of_arguments(sentence: str) -> str:
    """The sentence, with arguments where it names flags."""
    sentence = FLAG_WITH_VALUE.sub(lambda found: f"{argument(found[1])}={found[2]}:", sentence)
    return FLAG.sub(lambda found: argument(found[1]), sentence)


def argument(flag: str) -> str:
    """The name of the argument that a flag is: `eval-size` becomes `eval_size`."""
    return flag.replace("-", "_")


def configured(base: Config, options: Mapping[str, Any]) -> Config:
    """A configuration, changed by the options that were given as keyword arguments.

    `task`, `architecture` and `optimizer` choose kinds; every other argument is an option of one of the chosen kinds.
    Raises UserError for an argument that is none, and for a value that is not allowed.
    """
    kinds = {argument(kinds.flag.removeprefix("--")): section for section, kinds in SECTIONS.items() if kinds.flag}
    given: dict[str, dict[str, Any]] = {kinds[name]: {"kind": options[name]} for name in kinds if name in options}
    chosen = with_options(base, given)
    places = {name: (section, field) for section in SECTIONS for name, field in arguments_of(chosen, section)}
    for name, value in options.items():
        if name in places:
            section, field = places[name]
            given.setdefault(section, {})[field] = value
        elif name not in kinds:
            raise UserError(f"{name}={value!r}: {unknown(name, [*places, *kinds])}")
    return with_options(base, given)


def arguments_of(config: Config, section: str) -> Iterator[tuple[str, str]]:
    """The arguments of a section's options, each with the name of its field."""
    options = getattr(config, section)
    for name in field_names(options):
        if name != "kind":
            field = type(options).__dataclass_fields__[name]
            for word in (name, argument(flag_of(field).removeprefix("--")), *other_names(field)):
                yield word, name


def unknown(name: str, known: list[str]) -> str:
    """A sentence about an argument that the chosen kinds do not have."""
    for section, kinds in SECTIONS.items():
        owners = kinds.owners(name) if kinds.flag else []
        if owners:
            return f"an option of other kinds of {section}: {', '.join(owners)}"
    return f"no option of that name{did_you_mean(name, known)}"
