"""What all models are."""

from typing import Any

from ..backend import DtypePolicy
from ..nn import Module
from .shape_report import ShapeReport


def require_config(model: Any, config: Any, wanted: type) -> None:
    """Raises TypeError for what is no configuration of a model: its sizes, or a table of them."""
    if not isinstance(config, wanted):
        kind, name = type(model).__name__, wanted.__name__
        raise TypeError(f"a {kind} is made of a {name}: {kind}({name}(vocabulary=..., context=...)), not of {config!r}")


class Model(Module):
    """A module that learns a task: it is called with the arrays of a batch, as its objective calls it."""

    def shape_report(self, batch: int, positions: int, policy: DtypePolicy | None = None) -> ShapeReport:
        """A dry pass over shapes: every operation, its memory and FLOP. Raises ShapeError with a dotted name."""
        raise NotImplementedError
