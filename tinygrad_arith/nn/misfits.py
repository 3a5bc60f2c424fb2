"""What is wrong with weights that are given to a model, in one sentence that names all of it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

MOST_NAMED = 40  # groups of names in one sentence


@dataclass
class Misfits:
    """Names, by what is wrong with them.

    missing:    parameters that nothing is given for
    unexpected: what is given and has no parameter
    misshapen:  a name, the shape that is given, and the one that is needed
    others:     what else is wrong, as the ends of sentences
    """

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshapen: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen or self.others)

    def __str__(self) -> str:
        shapes = [f"{printable(name)} is {given} and should be {needed}" for name, given, needed in self.misshapen]
        parts = [
            ("missing ", in_groups(self.missing)),
            ("unexpected ", in_groups(self.unexpected)),
            ("of another shape: ", shapes),
            ("", self.others),
        ]
        return "; ".join(words + listed(names) for words, names in parts if names)


def in_groups(names: Iterable[str]) -> list[str]:
    """Names in short: those that differ in their numbers only are one, `blocks.*.bias (3: 0 to 2)`.

    `blocks.0.bias`, `blocks.1.bias`, `blocks.2.bias` are such names.
    """
    groups: dict[str, list[tuple[int, ...]]] = {}
    whole: dict[str, str] = {}
    for name in names:
        key = re.sub(r"(?<![^.])[0-9]{1,9}(?![^.])", "*", name)
        groups.setdefault(key, []).append(tuple(map(int, re.findall(r"(?<![^.])[0-9]{1,9}(?![^.])", name))))
        whole[key] = name
    return [printable(whole[key]) if len(found) == 1 else _group(key, found) for key, found in groups.items()]


def _group(key: str, found: list[tuple[int, ...]]) -> str:
    first, last = (".".join(map(str, numbers)) for numbers in (min(found), max(found)))
    return f"{printable(key)} ({len(found)}: {first} to {last})"


def listed(names: list[str]) -> str:
    """All of them, or the first ones and how many there are beside."""
    others = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {others} more" if others > 0 else "")


def printable(name: str) -> str:
    """A name as a sentence shows it: on one line, and not all of a long one."""
    name = name if len(name) <= 200 else f"{name[:200]}..."
    return name if name.isprintable() and name.strip() == name and name else repr(name)
