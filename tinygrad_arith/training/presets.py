"""Named configurations: TOML files beside this module, read from a checkout and from a wheel alike."""

import dataclasses
import tomllib
from dataclasses import dataclass
from importlib import resources

from ..options.errors import UserError
from ..options.option import did_you_mean
from .config import SECTIONS, Config

DEFAULT_PRESET = "binary-reversed"
FOLDER = resources.files("tinygrad_arith") / "presets"


@dataclass(frozen=True)
class Preset:
    """A configuration with a name, what it shows, where it comes from, and what to expect of it.

    `published` is the figure that the source states, in a sentence; empty where there is none.
    """

    name: str
    title: str
    source: str
    expected: str
    published: str
    config: Config


def preset_names() -> list[str]:
    """The names of all presets: the default one first, the others by name."""
    names = sorted(entry.name.removesuffix(".toml") for entry in FOLDER.iterdir() if entry.name.endswith(".toml"))
    return sorted(names, key=lambda name: name != DEFAULT_PRESET)


def load_preset(name: str) -> Preset:
    """The preset of that name; raises UserError naming the nearest and all there are if there is none."""
    path = FOLDER / f"{name}.toml"
    if not name.replace("-", "").isalnum() or not path.is_file():
        names = preset_names()
        raise UserError(f"--preset {name}: no such preset{did_you_mean(name, names)} (there are {', '.join(names)})")
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    about = {key: values.pop(key) for key in ("title", "source", "expected")}
    published = values.pop("published", "")
    return Preset(name=name, published=published, config=Config.from_dict(values, source=f"preset {name}"), **about)


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
