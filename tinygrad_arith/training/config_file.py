"""A configuration file of one's own, in the format of the presets.

    title = "4-digit sums by a small model"  # as are short, source, expected, published: for people only

    [task]
    kind = "decimal-addition"
    digits = 4

    [model]
    d_model = 48

    [optimizer]
    learning_rate = 1e-3

    [training]
    steps = 1000

Every key may be left out, and then has its default. The file may be a stranger's: it is read with a limit, and no code
that it names is run.
"""

import dataclasses
import functools
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..files.names import portable
from ..files.reading import read_bytes, reading
from ..files.text import InUtf16, decoded
from ..options.errors import UserError
from ..options.habits import KEYS_ELSEWHERE, REMARKS
from ..options.option import other_names
from .config import SECTIONS, Config, changed
from .presets import KEYS, Preset, preset_names, preset_of

LARGEST_FILE = 2**15  # bytes; a long dotted key takes time that rises with the square of its length


def load_config_file(path: Path) -> Preset:
    """The configuration in a file, as a preset that is called as the file is. What is not given keeps its default.

    Raises UserError naming the file, and what in it is no TOML, unknown (with the nearest known key, or the section
    that it belongs into), or not allowed.
    """
    source = str(path)
    values = read_toml(path)
    for complaint in misplaced_keys(values):
        raise UserError(f"{source}: {complaint}")
    check_task(values, source)
    preset = preset_of(name_of(path), values, source)
    return dataclasses.replace(preset, config=with_short_warmup(preset.config, values))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file, which may begin with a byte order mark; raises UserError where it is none."""
    with reading(path):
        data = read_bytes(path, LARGEST_FILE)
    try:
        return tomllib.loads(decoded(data))
    except InUtf16 as error:
        raise UserError(f"{path}: not in UTF-8, as TOML is: {error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not in UTF-8, as TOML is: {error.reason} at byte {error.start}") from error
    except RecursionError as error:
        raise UserError(f"{path}: not valid TOML: it is nested too deeply") from error
    except ValueError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from error


def misplaced_keys(values: dict[str, Any]) -> Iterator[str]:
    """A sentence for each key that is an option of another section than the one that it stands in, or is the other name
    of an option's flag.
    """
    outside = {key: value for key, value in values.items() if key not in KEYS}
    for place, table in {"": outside, **{name: values.get(name) for name in SECTIONS}}.items():
        for key in table if isinstance(table, dict) else ():
            owner, name = owners().get(key, ("", ""))
            if owner and (owner, name) != (place, key):
                dot = "." if place else ""
                there = f"it is {name} in [{owner}]" if name != key else f"it belongs into [{owner}]"
                yield f"unknown key {place}{dot}{key}; {there}{REMARKS.get(key, '')}"


@functools.cache
def owners() -> dict[str, tuple[str, str]]:
    """The section of every option and its name, by the name and by what else it may be called."""
    found: dict[str, tuple[str, str]] = {}
    for section, kinds in SECTIONS.items():
        for kind in kinds.places:
            for field in dataclasses.fields(kinds.options_of(kind)):
                for name in (field.name, *other_names(field)):
                    found.setdefault(name, (section, field.name))
    found |= {key: found[name] for key, name in KEYS_ELSEWHERE.items() if key not in found}
    return {key: owner for key, owner in found.items() if key != "kind"}


def check_task(values: dict[str, Any], source: str) -> None:
    """Raise UserError if the task is one of a Python file: only a person may say that it is to be run."""
    task = values.get("task")
    kind = task.get("kind") if isinstance(task, dict) else None
    if isinstance(kind, str) and ":" in kind:
        raise UserError(
            f"{source}: task.kind = {kind!r}: a configuration file names no Python file, since that would be run; "
            f"give it as a flag: --task {kind}"
        )


def name_of(path: Path) -> str:
    """What runs of a file are called: its name without `.toml`, unless that is a preset's."""
    stem = path.name.rpartition(".")[0] or path.name  # Pythons disagree on the stem of "...toml"
    name = portable(path.name if stem in preset_names() else stem)
    return "config" if name in ("", ".", "..") else name


def with_short_warmup(config: Config, values: dict[str, Any]) -> Config:
    """The configuration with a warm-up that is as large a part of its steps as by default, if none is given and the
    default one is longer than all the steps.
    """
    steps, warmup = config.training.steps, config.optimizer.warmup
    if warmup <= steps or "warmup" in values.get("optimizer", {}):
        return config
    return changed(config, {"optimizer": {"warmup": warmup * steps // Config().training.steps}})
