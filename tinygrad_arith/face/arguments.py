"""Keyword arguments of a program instead of flags of a command: read against the same options, told of as arguments."""

import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import Field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from ..options.arguments import ArgumentError, plain, require, shown
from ..options.calling import PYTHON, called_through
from ..options.errors import MachineError, UserError
from ..options.kinds import field_names
from ..options.option import complaint_about, flag_of, meant_choice, other_names
from ..training.config import SECTIONS, Config, with_options
from .names_elsewhere import meant_argument

P = ParamSpec("P")
R = TypeVar("R")

FLAG = re.compile(r"(?<![\w./\\-])--(?:no-)?([a-z][a-z0-9-]*)")
FLAG_WITH_VALUE = re.compile(r"(?<![\w./\\-])--([a-z][a-z0-9-]*) ([^\s:]+):")
KINDS = {"task": "the name of a task, or 'FILE.py:Class'", "architecture": "a name", "optimizer": "a name"}

OF_FIT = ("callbacks", "out", "preset", "progress", "until")  # arguments of `fit` that are no options


def for_programs(function: Callable[P, R]) -> Callable[P, R]:
    """A function of the face: what it raises for the caller to put right is a UserError that speaks of arguments."""
    signature, name = inspect.signature(function), function.__qualname__.removesuffix(".__init__")
    names = ", ".join(name for name in signature.parameters if name != "self")

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(f"{name}({names}): {error}") from None
        made = args[function.__name__ == "__init__" :]  # an object that is to be made has no path yet
        with speaking_of_arguments(*made, *kwargs.values()):
            return function(*args, **kwargs)

    return call


@contextmanager
def speaking_of_arguments(*given: Any) -> Iterator[None]:
    """Errors of the user, which name flags, name arguments instead: `--eval-size 5:` becomes `eval_size=5:`.

    given: what the caller gave; texts and paths among it are told of as they are, be there a `--` in them
    """
    kept = [text for value in given for text in texts_of(value) if "--" in text]
    try:
        with called_through(PYTHON):
            yield
    except ArgumentError:
        raise  # which names arguments already
    except MemoryError as error:
        raise MachineError(f"out of memory: {error or 'the machine has no more to give'}") from error
    except UserError as error:
        raise type(error)(of_arguments(str(error), kept)) from error.__cause__


def texts_of(value: Any) -> tuple[str, ...]:
    """A text, or a path as it is given and in full; nothing of anything else."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    return (value, os.path.abspath(value)) if isinstance(value, str) and "\0" not in value else ()


def of_arguments(sentence: str, kept: list[str] | tuple[str, ...] = ()) -> str:
    """The sentence, with arguments where it names flags; the texts that are `kept` stay as they are."""
    if kept:
        longest_first = sorted(kept, key=len, reverse=True)
        parts = re.split(f"({'|'.join(map(re.escape, longest_first))})", sentence)
        return "".join(part if part in kept else of_arguments(part) for part in parts)
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
    options = {name: plain(value) for name, value in options.items()}
    kinds = {argument(kinds.flag.removeprefix("--")): section for section, kinds in SECTIONS.items() if kinds.flag}
    given: dict[str, dict[str, Any]] = {}
    for name in kinds.keys() & options.keys():
        require(name, options[name], isinstance(options[name], str), KINDS[name])
        given[kinds[name]] = {"kind": options[name]}
    chosen = with_options(base, given)
    places = {name: (section, field) for section in SECTIONS for name, field in arguments_of(chosen, section)}
    names: dict[str, str] = {}  # by which fields were given
    for name, value in options.items():
        if name in places:
            section, field = places[name]
            check_value(name, field, value)
            if field.name in names:
                raise ArgumentError(f"{names[field.name]} and {name}: two names of one option; give one of them")
            names[field.name] = name
            given.setdefault(section, {})[field.name] = value
        elif name not in kinds:
            raise ArgumentError(f"{name}={shown(value)}: {unknown(name, [*places, *kinds, *OF_FIT])}")
    return with_options(base, given)


def check_value(name: str, field: Field, value: Any) -> None:
    """Raise ArgumentError if an option may not have a value."""
    complaint = complaint_about(field, value)
    if complaint:
        raise ArgumentError(f"{name}={shown(value)}: {complaint}{meant_choice(field, value)}")


def arguments_of(config: Config, section: str) -> Iterator[tuple[str, Field]]:
    """The arguments of a section's options, each with its field."""
    options = getattr(config, section)
    for name in field_names(options):
        if name != "kind":
            field = type(options).__dataclass_fields__[name]
            for word in (name, argument(flag_of(field).removeprefix("--")), *other_names(field)):
                yield word, field


def unknown(name: str, known: list[str]) -> str:
    """A sentence about an argument that the chosen kinds do not have."""
    if name == "kind":
        return f"no option of that name; {', '.join(KINDS)} choose kinds"
    for section, kinds in SECTIONS.items():
        owners = kinds.owners(name) if kinds.flag else []
        if owners:
            return f"an option of other kinds of {section}: {', '.join(owners)}"
    return f"no option of that name{of_arguments(meant_argument(name, known))}"
