"""The update of SGD on the CPU: one pass over the flat buffers, shared by the cores."""

from .parts import in_parts
from .passes import passes


def sgd_update(values, gradients, velocity, decayed, rates, nesterov=False, working=None):
    """See `optim.sgd`; the same bits."""

    def between(start: int, stop: int) -> None:
        arrays = (None if array is None else array[start:stop] for array in (values, gradients, velocity))
        passes.sgd(*arrays, max(decayed - start, 0), rates, nesterov)
        if working is not None:
            working[start:stop] = values[start:stop]

    in_parts(between, len(values), len(values))


def accepts(values, gradients, velocity, decayed, rates, nesterov=False, working=None) -> bool:
    """One dtype throughout, but for the copy that a model computes with."""
    return values.dtype == gradients.dtype and (velocity is None or velocity.dtype == values.dtype)
