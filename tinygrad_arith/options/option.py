"""An option: a dataclass field that carries its own help text and limits, and what is wrong with a value for it.

The options of a task, of a model and of a training are all such fields, checked here and nowhere else.
"""

import dataclasses
import difflib
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

ELSEWHERE = {"gpu": "cuda", "cuda": "cuda", "nvidia": "cuda"}  # beginnings of words that others have, and ours
MOST = 2**63  # of a whole number without another limit: no array is as large
LARGEST = 1e30  # of a number without another limit: products with it are finite in float32
TYPE_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def option(
    default: Any,
    help: str,
    *,
    choices: tuple = (),
    range: tuple | None = None,
    flag: str = "",
    also: tuple[str, ...] = (),
    sizes: bool = False,
) -> Any:
    """A dataclass field with a default, its meaning, and the allowed values: a list, or an inclusive (low, high).

    flag:  the name of its flag, where that is not the field's
    also:  other flags that are understood as this one
    sizes: it is the size of something of one family of kinds; another family begins with the default
    """
    limits = f"; {range_in_words(*range)}" if range else ""
    about = {"help": help, "choices": choices, "range": range, "limits": limits, "flag": flag, "sizes": sizes}
    about["also"] = also
    return dataclasses.field(default=default, metadata=about)


def flag_name(name: str) -> str:
    """The command-line flag of an option: `d_model` -> `--d-model`."""
    return "--" + name.replace("_", "-")


def flag_of(field: dataclasses.Field) -> str:
    """The command-line flag of a field."""
    return "--" + (field.metadata["flag"] or field.name).replace("_", "-")


def as_flag(flag: str, value: Any) -> str:
    """A flag with its value: `--steps=600`, `--tf32`, `--no-tf32`."""
    if isinstance(value, bool):
        return flag if value else flag.replace("--", "--no-", 1)
    return f"{flag}={value}"


def other_names(field: dataclasses.Field) -> list[str]:
    """The other names of a field's flag, as options are written: `lr` for `--lr`."""
    return [flag.removeprefix("--").replace("-", "_") for flag in field.metadata["also"]]


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of one kind of task, model, optimizer or of the training: a frozen dataclass whose fields are made by
    `option`. They are checked when they are made, and nowhere else.

    family: kinds of one family are about the same problems; sizes are kept from one to the other
    """

    family = ""

    def __post_init__(self) -> None:
        """Raises ValueError, one sentence that names the flag, unless each field holds what it may, and all fit."""
        for field in dataclasses.fields(self):
            given = getattr(self, field.name)
            value = given.item() if isinstance(given, np.generic) else given  # NumPy's numbers count as Python's
            if value is not given:
                object.__setattr__(self, field.name, value)
            complaint = complaint_about(field, value)
            if complaint:
                shown = value if has_type(value, field.type) else repr(value)
                raise ValueError(f"{flag_of(field)} {shown}: {complaint}{meant_choice(field, value)}")
        self.check()

    def named_values(self) -> dict[str, Any]:
        """The value of each option by its name, which is that of its flag."""
        fields = dataclasses.fields(self)
        return {field.metadata["flag"] or field.name: getattr(self, field.name) for field in fields}

    def check(self) -> None:
        """The rules that bind several options to each other; raises ValueError, one sentence that names a flag."""


def plain(value: Any) -> Any:
    """A number or a text of NumPy, or an array () of one, as Python's own; all else as it is."""
    if getattr(value, "shape", None) != () or not callable(getattr(value, "item", None)):
        return value
    value = value.item()
    return float(value) if type(value).__module__ == "numpy" else value  # a longdouble is no float of Python's


def complaint_about(field: dataclasses.Field, value: Any) -> str | None:
    """What is wrong with a value of this field (type, choice, range), as the end of a sentence; None if all is well."""
    if not has_type(value, field.type):
        return f"must be {TYPE_WORDS[field.type]}"
    if field.type is float and not -math.inf < value < math.inf:
        return "must be a finite number"
    choices = field.metadata["choices"]
    if choices and value not in choices:
        return "must be one of " + ", ".join(str(choice) for choice in choices)
    low, high = field.metadata["range"] or (None, None)
    if high is None and field.type is int and value > MOST:
        return "must be at most 2**63"
    if high is None and field.type is float and abs(value) > LARGEST:
        return f"must be at most {LARGEST:g}"
    if (low is None or value >= low) and (high is None or value <= high):
        return None
    return "must be " + range_in_words(low, high)


def meant_choice(field: dataclasses.Field, value: Any) -> str:
    """`; did you mean X?` after a complaint about a word that is none of the field's choices, or nothing."""
    return meant(value, [str(choice) for choice in field.metadata["choices"]])


def meant(value: Any, choices: Iterable[str]) -> str:
    """`; did you mean X?` after a complaint about a word that is none of the choices, or nothing."""
    choices = list(choices)
    if not isinstance(value, str) or value in choices:
        return ""
    known = next((ours for word, ours in ELSEWHERE.items() if value.lower().startswith(word)), None)
    return f"; did you mean {known}?" if known in choices else did_you_mean(value, choices)


def has_type(value: Any, kind: Any) -> bool:
    """Whether a value may stand in a field of this type: a whole number may stand for a float, a bool for nothing."""
    return type(value) is kind or (kind is float and type(value) is int)


def range_in_words(low: float | None, high: float | None) -> str:
    """`1 to 8`, `at least 1` or `at most 8`."""
    most = "2**63" if high == MOST else high
    if low is not None and high is not None:
        return f"{low} to {most}"
    return f"at least {low}" if high is None else f"at most {most}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the end of a sentence about an unknown word, or nothing if it resembles none."""
    known = list(known)
    in_lower_case = {one.lower(): one for one in known}
    as_written = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    matches = as_written or difflib.get_close_matches(word.lower(), list(in_lower_case), n=1, cutoff=0.5)
    return f"; did you mean {matches[0] if as_written else in_lower_case[matches[0]]}?" if matches else ""
