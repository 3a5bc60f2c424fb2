"""The update of Lion on the CPU: one pass over the flat buffers, shared by the cores."""

from .parts import in_parts
from .passes import passes


def lion_update(values, gradients, first, decayed, rates, working=None):
    """See `optim.lion`; the same bits."""

    def between(start: int, stop: int) -> None:
        arrays = (array[start:stop] for array in (values, gradients, first))
        passes.lion(*arrays, max(decayed - start, 0), rates)
        if working is not None:
            working[start:stop] = values[start:stop]

    in_parts(between, len(values), len(values))


def accepts(values, gradients, first, decayed, rates, working=None) -> bool:
    """One dtype throughout, but for the copy that a model computes with."""
    return values.dtype == gradients.dtype == first.dtype
