"""Kinds: what a section of a configuration may be. Each kind has options of its own.

A registry knows the built-in kinds by the places of their classes, and loads a class when it is asked for. So a kind
costs nothing until it is used, and may live in a package above.
"""

import dataclasses
import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from .errors import UserError, as_user_error
from .option import Options, complaint_about, did_you_mean, flag_name
from .words import in_short, shortened


class Kinds:
    """The kinds of one section.

    section: its name in files, such as "model"
    flag:    that chooses a kind; "" where there is one kind only
    places:  where the class of each kind is: {"gpt": "tinygrad_arith.models.gpt:GPT"}

    A class has `options`, its class of options (see `Options`), whose first field is `kind`.
    """

    def __init__(self, section: str, flag: str, places: Mapping[str, str]):
        self.section, self.flag, self.places = section, flag, places

    def load(self, kind: str) -> Any:
        """The class of a kind. Raises ValueError, one sentence that names the flag, if there is none."""
        if kind not in self.places:
            return self.load_other(kind)
        module, _, name = self.places[kind].partition(":")
        return getattr(importlib.import_module(module), name)

    def load_other(self, kind: str) -> Any:
        """The class of a kind that is not built in: there is none, but for tasks."""
        known, name = ", ".join(self.places), self.flag or f"{self.section}.kind ="
        raise ValueError(f"{name} {kind}: must be one of {known}{did_you_mean(kind, self.places)}")

    def options_of(self, kind: str | None = None) -> type[Options]:
        """The class of a kind's options, of the first kind where none is named. Raises ValueError as `load`."""
        return self.load(next(iter(self.places)) if kind is None else kind).options

    def owners(self, name: str) -> list[str]:
        """The built-in kinds that have an option of this name."""
        return [kind for kind in self.places if name in field_names(self.options_of(kind))]


def field_names(options: Any) -> tuple[str, ...]:
    """The names of the options of a class, or of an object of it: the kind, its own ones, those that it shares."""
    names = {field.name for field in dataclasses.fields(options)}
    lines = (options if isinstance(options, type) else type(options)).__mro__
    ordered = [name for line in lines for name in inspect.get_annotations(line) if name in names]
    return tuple(dict.fromkeys(["kind", *ordered] if "kind" in names else ordered))


def read_options(kinds: Kinds, values: Any, source: str) -> Options:
    """The options of a section from a table that a file or a preset holds; what is not given keeps its default.

    Raises UserError, which begins with `source`, for a kind or a key that is unknown, and for a value that is not
    allowed or does not fit another.
    """
    kind = values.get("kind") if isinstance(values, dict) else None
    with as_user_error(f"{source}: ", OverflowError):
        try:
            options = kinds.options_of(kind if isinstance(kind, str) else None)
        except ValueError as error:  # which names a flag, where a file has a key
            told = str(error).removeprefix(f"{kinds.flag} {kind}: ")
            raise ValueError(f"{kinds.section}.kind = {in_short(kind)}: {told}") from error
        fields = {field.name: field for field in dataclasses.fields(options)}
        check_keys(values, tuple(fields), source, f"{kinds.section}.")
        values = {key: v.item() if isinstance(v, np.generic) else v for key, v in values.items()}
        for key, value in values.items():
            complaint = complaint_about(fields[key], value)
            if complaint:
                raise ValueError(f"{kinds.section}.{key} = {in_short(value)}: {complaint}")
        return options(**{key: float(v) if fields[key].type is float else v for key, v in values.items()})


def check_keys(values: Any, known: tuple[str, ...], source: str, prefix: str) -> None:
    """Raise UserError unless `values` is a table with known keys only."""
    if not isinstance(values, dict):
        raise UserError(
            f"{source}: {prefix.rstrip('.') or 'the whole'} must be a table of options, not {in_short(values)}"
        )
    for key in values:
        if key not in known:
            raise UserError(f"{source}: unknown key {prefix}{shortened(key)}{did_you_mean(key, known)}")


def changed_options(options: Options, kinds: Kinds, given: Mapping[str, Any]) -> Options:
    """The options with other values for some of them, of another kind if a kind is given.

    Another kind keeps what it has in common with the kind before; one of another family begins with its own sizes.
    Raises UserError for an option that the kind does not have, and for a value that is not allowed.
    """
    before = getattr(options, "kind", "")
    kind = given.get("kind", before)
    with as_user_error():
        target = type(options) if kind == before else kinds.options_of(kind)
        known = {field.name: field for field in dataclasses.fields(target)}
        for name in given:
            if name not in known:
                raise ValueError(foreign(name, kind, kinds))
        same = target.family == options.family
        kept = [name for name in field_names(options) if name in known and (same or not known[name].metadata["sizes"])]
        return target(**{name: getattr(options, name) for name in kept} | dict(given))


def foreign(name: str, kind: str, kinds: Kinds) -> str:
    """A sentence about an option that a kind does not have: whose it is."""
    owners = kinds.owners(name)
    whose = f"it is an option of {', '.join(owners)}" if owners else "there is no such option"
    return f"{flag_name(name)}: means nothing for {kinds.flag} {kind}; {whose}"
