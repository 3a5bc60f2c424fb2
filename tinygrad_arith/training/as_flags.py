"""A configuration as the flags that make it from the default preset."""

import dataclasses

from ..options.kinds import field_names
from ..options.option import as_flag, flag_of
from .config import SECTIONS, Config, with_options
from .presets import DEFAULT_PRESET, load_preset


def flags_that_make(config: Config) -> list[str]:
    """The flags of the train command, without a --preset, that give this configuration."""
    default = load_preset(DEFAULT_PRESET).config
    kinds = {name: {"kind": getattr(config, name).kind} for name in SECTIONS if SECTIONS[name].flag}
    base, flags = with_options(default, kinds), []  # other kinds have other defaults
    for section in SECTIONS:
        options = getattr(config, section)
        fields = {field.name: field for field in dataclasses.fields(options)}
        for name in field_names(options):
            before, value = getattr(default if name == "kind" else base, section), getattr(options, name)
            if value != getattr(before, name):
                flags.append(as_flag(flag_of(fields[name]), value))
    return flags
