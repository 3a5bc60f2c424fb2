"""One set of inputs at which an operation is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Case", "Cases"]


@dataclass(frozen=True)
class Case:
    """One set of inputs: `check_gradients(forward, backward, inputs, options=..., zero=..., allow=..., sizes=...)`."""

    name: str
    inputs: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    zero: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    sizes: Mapping[str, int] | None = None

    def settings(self) -> dict[str, Any]:
        """The keyword arguments for `check_gradients`."""
        return {"options": self.options, "zero": self.zero, "allow": self.allow, "sizes": self.sizes}


Cases = Callable[..., tuple[Case, ...]]
"""`draw(rng)` gives the cases of one operation; where that draws numbers itself, `draw(rng, key)`."""
