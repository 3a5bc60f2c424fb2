"""The one reader of JSON in files, which may be damaged or a stranger's: with limits, and in sentences.

Every value that it returns is nested at most `DEEPEST` levels and holds no NaN, no infinity, no name twice, and no text
that cannot be written. What a file's fields have to be is checked by whoever reads them, with the small functions
below.
"""

import json
import math
import os
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..options.errors import UserError
from ..options.words import in_short
from .text import decoded

LARGEST_JSON = 2**24  # bytes
LARGEST_LINES = 2**31  # bytes of a file of lines, which grows with the training
DEEPEST = 51  # lists and tables inside each other
LARGEST_INTEGER = 2**64
LARGEST_NUMBER = 1e100  # of what is measured: sums and squares of it are finite
STEPS_BELOW = 10**9


class BeyondLimits(ValueError):
    """JSON that holds what no file of a run holds. The text is the end of a sentence."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Inside, a file is opened and read. UserError where it is none (a pipe would be waited for), or cannot be read."""
    if not os.path.isfile(path):  # False, too, for a name that the system refuses
        raise UserError(f"{path}: {'not a file' if os.path.exists(path) else 'there is no such file'}")
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def parse_json(data: bytes) -> Any:
    """The value of a JSON text in UTF-8, with or without a byte order mark; raises BeyondLimits, or ValueError where it
    is none.
    """
    text = decoded(data)
    try:
        value = json.loads(
            text,
            parse_constant=refuse,
            parse_float=finite_float,
            parse_int=small_integer,
            object_pairs_hook=table_of,
        )
        if depth(value) > DEEPEST:
            raise RecursionError
        if "\\u" in text:  # perhaps half a character, which no terminal and no file takes
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise BeyondLimits("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise BeyondLimits("it holds a text that is not UTF-8") from None
    return value


def depth(value: Any) -> int:
    """How many lists and tables lie inside each other."""
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0) if isinstance(value, list | dict) else 0


def table_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The table of these pairs; raises BeyondLimits where a name is there twice."""
    table = dict(pairs)
    if len(table) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise BeyondLimits(f"it holds the name {shown(twice)} twice")
    return table


def refuse(constant: str) -> None:
    """Raise BeyondLimits for NaN and infinity."""
    raise BeyondLimits(f"it holds {constant}, which is no number")


def finite_float(text: str) -> float:
    """The number that is written; raises BeyondLimits where it is too large."""
    number = float(text)
    if not math.isfinite(number):
        raise BeyondLimits(f"it holds {reprlib.repr(text)}, which is too large")
    return number


def small_integer(text: str) -> int:
    """The whole number that is written; raises BeyondLimits where it is too large."""
    if len(text) > len(str(LARGEST_INTEGER)) or abs(int(text)) > LARGEST_INTEGER:
        raise BeyondLimits(f"it holds a whole number of {len(text):,} digits, which is too large")
    return int(text)


def read_bytes(path: Path, largest: int) -> bytes:
    """What a file holds; raises UserError where it is too large."""
    size = path.stat().st_size
    if size > largest:
        raise UserError(f"{path}: too large: {size:,} bytes, and at most {largest:,} are read")
    return path.read_bytes()


def read_json(path: Path, what: str = "valid JSON") -> Any:
    """The value of a JSON file; raises UserError, which says that it is not `what`."""
    data = read_bytes(path, LARGEST_JSON)
    try:
        return parse_json(data)
    except ValueError as error:
        raise UserError(f"{path}: not {what}: {error}") from error


def expect(name: str, value: Any, fits: bool, wanted: str) -> None:
    """Raise ValueError, the end of a sentence, unless a value is what is wanted."""
    if not fits:
        raise ValueError(f"{name} is {shown(value)}, not {wanted}")


def is_number(value: Any) -> bool:
    """Whether a value is a number, of a size that can be computed with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER


def is_whole(value: Any, low: int = 0, below: int = 2**63) -> bool:
    """Whether a value is a whole number from `low` to one less than `below`."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value < below


def is_step(value: Any) -> bool:
    """Whether a value can be a number of steps."""
    return is_whole(value, below=STEPS_BELOW)


def are_numbers(value: Any) -> bool:
    """Whether a value is a list of numbers."""
    return isinstance(value, list) and all(is_number(number) for number in value)


def are_texts(value: Any) -> bool:
    """Whether a value is a list of texts."""
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def is_table_of_texts(value: Any) -> bool:
    """Whether a value is a table whose values are texts."""
    return isinstance(value, dict) and are_texts(list(value.values()))


def shown(value: Any) -> str:
    """A value as a sentence shows it: not all of a long one."""
    return in_short(value) if isinstance(value, int) else reprlib.repr(value)
