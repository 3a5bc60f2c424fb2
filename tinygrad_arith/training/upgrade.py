"""Configurations of version 0.1, whose sections had the options of every kind: `config.json` of format 1."""

from typing import Any

from ..options.kinds import field_names
from .config import SECTIONS

KIND = {"task": "task", "model": "architecture"}  # what an option was called that is the kind now
GONE = ("tied_head",)  # of window models, which never had one


def upgraded(values: Any) -> Any:
    """The same configuration as this version writes it.

    An option that the kind does not have is left out: it had its default, for no other value was allowed. What is no
    configuration at all stays as it is, for whoever reads it to say so.
    """
    if not isinstance(values, dict) or not all(isinstance(section, dict) for section in values.values()):
        return values
    return {name: upgraded_section(name, dict(section)) for name, section in values.items()}


def upgraded_section(name: str, section: dict[str, Any]) -> dict[str, Any]:
    """One section with its kind, and with the options of that kind."""
    if name in KIND and KIND[name] in section:
        section["kind"] = section.pop(KIND[name])
    if name not in SECTIONS or not isinstance(section.get("kind", ""), str):
        return section
    kinds = SECTIONS[name]
    try:
        own = field_names(kinds.options_of(section.get("kind")))
    except ValueError:
        return section
    return {key: value for key, value in section.items() if key in own or not (kinds.owners(key) or key in GONE)}
