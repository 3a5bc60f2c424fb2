"""What all models are."""

from ..backend import DtypePolicy
from ..nn import Module
from .shape_report import ShapeReport


class Model(Module):
    """A module that learns a task: it is called with the arrays of a batch, as its objective calls it."""

    def shape_report(self, batch: int, positions: int, policy: DtypePolicy | None = None) -> ShapeReport:
        """A dry pass over shapes: every operation, its memory and FLOP. Raises ShapeError with a dotted name."""
        raise NotImplementedError
