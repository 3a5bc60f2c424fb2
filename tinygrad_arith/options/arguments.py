"""What a Python function was given, looked at before anything is done: one sentence for what will not do.

NumPy's numbers count as Python's own. (What flags say is checked where flags are read.)
"""

import math
import os
import reprlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .errors import UserError
from .option import meant, plain

PLAIN = str | bytes | int | float | complex | None  # values that a sentence shows; of others it tells the type


class ArgumentError(UserError):
    """What an argument says wrongly. The sentence names it as Python does: `lr=-1.0: must be at least 0`."""


def shown(value: Any) -> str:
    """A value as a sentence shows it: not all of a long one, and of a large object its type."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if not isinstance(value, PLAIN):
        name = type(value).__name__
        return f"a{'n' * (name[0] in 'AEIOUaeiou')} {name}"
    try:
        return reprlib.repr(value)
    except ValueError:  # Python writes no whole number of so many digits
        return "a number of thousands of digits"


def require(name: str, value: Any, fits: bool, wanted: str) -> None:
    """Raise ArgumentError, which names an argument, unless its value fits."""
    if not fits:
        raise ArgumentError(f"{name}={shown(value)}: must be {wanted}")


def truth(name: str, value: Any) -> bool:
    """True or False that was given. Raises ArgumentError for anything else, "no" and 0 too."""
    value = plain(value)
    require(name, value, isinstance(value, bool), "True or False")
    return value


def whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """A whole number that was given. Raises ArgumentError for anything else."""
    value = plain(value)
    fits = type(value) is int and low <= value and (high is None or value <= high)
    require(name, value, fits, f"a whole number, {f'at least {low}' if high is None else f'{low} to {high}'}")
    return value


def number(name: str, value: Any, fits: Callable[[float], bool], rule: str) -> float:
    """A number that was given, as a float. Raises ArgumentError, which tells the rule, unless it `fits`."""
    value = plain(value)
    require(name, value, type(value) in (int, float) and fits(as_float(value)), rule)
    return as_float(value)


def as_float(value: int | float) -> float:
    """A number of Python as a float, infinity where it is too large."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def text(name: str, value: Any, wanted: str = "a text") -> str:
    """A text that was given. Raises ArgumentError for anything else."""
    value = plain(value)
    require(name, value, isinstance(value, str), wanted)
    return value


def one_of(name: str, value: Any, choices: Iterable[str]) -> str:
    """One of some words. Raises ArgumentError for anything else, with the word that was meant."""
    value, choices = plain(value), tuple(choices)
    if not isinstance(value, str) or value not in choices:
        raise ArgumentError(f"{name}={shown(value)}: must be one of {', '.join(choices)}{meant(value, choices)}")
    return value


def path(name: str, value: Any) -> Path:
    """A path that was given. Raises ArgumentError for what is none."""
    found = os.fspath(value) if isinstance(value, os.PathLike) else plain(value)
    require(name, value, isinstance(found, str), "a path")
    require(name, found, bool(found.strip()), "a path, and not empty")
    require(name, found, "\0" not in found, "a path, which holds no NUL")
    return Path(found)


def place(name: str, value: Any) -> Path:
    """The path of what is there or may be made. Raises ArgumentError for one that the system refuses."""
    found = path(name, value)
    try:
        os.stat(found)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # whoever uses it says what is wrong with that
    except OSError as error:  # too long a name, links in a circle
        raise ArgumentError(f"{name}={shown(str(found))}: {error.strerror}") from error
    return found
