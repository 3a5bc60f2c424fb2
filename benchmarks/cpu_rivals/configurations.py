"""The shapes of the benchmark: a GPT and its batch."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

SHAPE = re.compile(r"(\d+)/(\d+)/(\d+)/(\d+)/(\d+)")


@dataclass(frozen=True)
class Configuration:
    """A pre-norm GPT with learned positions and the batch it is trained on.

    name:    d_model/layers/heads/T/batch, or "gpt2"
    ffn:     hidden channels; 0: four times d_model
    context: rows of the position table; 0: as many as `positions`
    prompt:  so many leading positions of a row bear no loss, as the problem in front of an answer
    tied:    the head is the token table and has no bias
    """

    name: str
    d_model: int
    layers: int
    heads: int
    positions: int
    batch: int
    vocabulary: int = 17
    activation: str = "gelu"
    ffn: int = 0
    context: int = 0
    prompt: int = 0
    tied: bool = False

    @property
    def hidden(self) -> int:
        """Channels between the two layers of the feed-forward network."""
        return self.ffn or 4 * self.d_model

    @property
    def rows(self) -> int:
        """Rows of the position table."""
        return self.context or self.positions

    def to_dict(self) -> dict:
        """The fields, ready for JSON; `Configuration(**values)` is the reverse."""
        return dataclasses.asdict(self)


def from_shape(name: str, **options) -> Configuration:
    """The configuration of a name like "64/2/4/28/128". Raises ValueError if it is not of that form."""
    found = SHAPE.fullmatch(name)
    if not found or "0" in found.groups():
        raise ValueError(f"{name!r}: must be d_model/layers/heads/T/batch, five positive integers")
    d_model, layers, heads, positions, batch = map(int, found.groups())
    if d_model % heads:
        raise ValueError(f"{name!r}: {heads} heads do not divide {d_model} channels")
    return Configuration(name, d_model, layers, heads, positions, batch, **options)


CONFIGURATIONS = (
    from_shape("48/3/3/19/64", prompt=9),
    from_shape("64/2/4/28/128", vocabulary=7, activation="relu", prompt=17),  # the default preset: 8-bit addition
    from_shape("96/4/4/64/192", vocabulary=7, activation="relu", ffn=384, prompt=41),
    from_shape("128/3/4/32/192", vocabulary=7, prompt=20),
    from_shape("384/6/6/64/64", prompt=32),
    Configuration("gpt2", 768, 12, 12, 64, 4, vocabulary=50_257, context=1024, tied=True),
)


def find_configuration(name: str) -> Configuration:
    """A configuration of the benchmark by its name; any other shape gets 17 tokens and GELU.

    Raises ValueError, which names the known ones.
    """
    for configuration in CONFIGURATIONS:
        if configuration.name == name:
            return configuration
    try:
        return from_shape(name)
    except ValueError as error:
        known = ", ".join(configuration.name for configuration in CONFIGURATIONS)
        raise ValueError(f"{error}; the benchmark's own are {known}") from None
