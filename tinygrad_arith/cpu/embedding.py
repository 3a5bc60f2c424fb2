"""The gradient of the table lookup on the CPU. The lookup itself is the reference's: NumPy has nothing faster."""

import numpy as np

from ..ops.fast import destinations
from .passes import passes
from .rows import rows_of


def embedding_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.embedding`."""
    ((dtable, add),) = destinations(into, (cache.table_shape,), lambda shape: np.empty(shape, dy.dtype))  # (V, C)
    if not add:
        dtable.fill(0.0)
    ids = np.ascontiguousarray(cache.ids, np.int64)  # (...): Numba compiles one loop, and knows this machine's order
    passes.embedding_backward(rows_of(dy), ids.reshape(-1), dtable)
    return (dtable,)
