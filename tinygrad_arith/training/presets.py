"""Named configurations: TOML files beside this module, read from a checkout and from a wheel alike."""

import dataclasses
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from ..files.reading import expect, is_number
from ..options.errors import UserError, as_user_error
from ..options.kinds import check_keys
from ..options.option import did_you_mean
from .config import SECTIONS, Config

DEFAULT_PRESET = "binary-reversed"
FOLDER = resources.files("tinygrad_arith") / "presets"


TEXTS = ("title", "short", "source", "expected", "published")  # keys of a file beside the sections
KEYS = (*TEXTS, "measured", *SECTIONS)


@dataclass(frozen=True)
class Measured:
    """How long the training took, in seconds, with its evaluations: the fastest of several seeds. `device` is what
    computed, in words.
    """

    seconds: float
    device: str


@dataclass(frozen=True)
class Preset:
    """A configuration with a name, what it shows, where it comes from, and what to expect of it.

    `short` is the title in 32 characters. `published` is the figure that the source states, in a sentence; empty where
    there is none.
    """

    name: str
    config: Config
    title: str = ""
    short: str = ""
    source: str = ""
    expected: str = ""
    published: str = ""
    measured: Measured | None = None


def preset_names() -> list[str]:
    """The names of all presets: the default one first, the others by name."""
    names = sorted(entry.name.removesuffix(".toml") for entry in FOLDER.iterdir() if entry.name.endswith(".toml"))
    return sorted(names, key=lambda name: name != DEFAULT_PRESET)


def load_preset(name: str, flag: str = "--preset") -> Preset:
    """The preset of that name; raises UserError naming the flag, the nearest and all there are if there is none."""
    path = FOLDER / f"{name}.toml"
    if not name.replace("-", "").isalnum() or not path.is_file():
        names = preset_names()
        if name in SECTIONS["task"].places:
            raise UserError(f"{flag} {name}: no such preset, but a task: --task {name} (presets: {', '.join(names)})")
        if name.endswith(".toml"):
            raise UserError(f"{flag} {name}: no such preset; a file of your own is read with --config {name}")
        raise UserError(f"{flag} {name}: no such preset{did_you_mean(name, names)} (there are {', '.join(names)})")
    values = tomllib.loads(path.read_text(encoding="utf-8"))  # a file of ours: its form is a test's to check
    sections = {section: values.pop(section) for section in SECTIONS if section in values}
    measured = Measured(**values.pop("measured")) if "measured" in values else None
    return Preset(name, Config.from_dict(sections, f"preset {name}"), measured=measured, **values)


def preset_of(name: str, values: dict[str, Any], source: str) -> Preset:
    """The preset that a file in TOML describes; raises UserError, which begins with `source`, for what it may not
    hold.
    """
    check_keys(values, KEYS, source, prefix="")
    texts = {key: values[key] for key in TEXTS if key in values}
    with as_user_error(f"{source}: "):
        for key, text in texts.items():
            expect(key, text, isinstance(text, str), "a text")
        measured = measured_of(values["measured"]) if "measured" in values else None
    sections = {key: value for key, value in values.items() if key in SECTIONS}
    return Preset(name, Config.from_dict(sections, source), measured=measured, **texts)


def measured_of(values: Any) -> Measured:
    """What `measured` holds; raises ValueError, the end of a sentence, unless it is seconds and a device."""
    fits = isinstance(values, dict) and values.keys() == {"seconds", "device"}
    fits = fits and is_number(values["seconds"]) and isinstance(values["device"], str)
    expect("measured", values, fits, "a table of seconds (a number) and device (a text)")
    return Measured(float(values["seconds"]), values["device"])


def changed_options(config: Config) -> list[str]:
    """The options in which a configuration differs from the defaults, as `section.option = value`."""
    first, found = Config(), []
    for section in SECTIONS:
        options, usual = getattr(config, section), getattr(first, section)
        for field in dataclasses.fields(options):
            value = getattr(options, field.name)
            if value != getattr(usual, field.name, field.default):
                found.append(f"{section}.{field.name} = {value}")
    return found
