"""The optimizer's update on the CPU: one pass over the flat buffers, shared by the cores."""

from .parts import in_parts
from .passes import passes


def adamw_update(values, gradients, first, second, decayed, rates, working=None):
    """See `optim.adamw`."""

    def between(start: int, stop: int) -> None:
        arrays = (array[start:stop] for array in (values, gradients, first, second))
        passes.adamw(*arrays, max(decayed - start, 0), rates)
        if working is not None:
            working[start:stop] = values[start:stop]

    in_parts(between, len(values), len(values))


def accepts(values, gradients, first, second, decayed, rates, working=None) -> bool:
    """One dtype throughout, but for the copy that a model computes with."""
    return values.dtype == gradients.dtype == first.dtype == second.dtype
