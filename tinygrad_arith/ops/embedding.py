"""A table lookup: each id becomes its row of the table."""

import math
from typing import Any, NamedTuple

import numpy as np

from ..backend import add_at, array_module
from .ids import require_ids
from .registry import Operation
from .shape_rules import ArraySpec, OpShapes, require


class EmbeddingCache(NamedTuple):
    """Saved: the ids, copied, for whose they are may change them. Of the table only its shape is needed."""

    ids: Any  # (...) int
    table_shape: tuple[int, int]


def embedding_forward(ids, table):  # ids (...) int; table (V, C)
    """Returns y (..., C), where y[n] = table[ids[n]], and the cache. Raises IndexError for an id that is no row."""
    require_ids(ids, len(table), "embedding: ids")
    return rows_at(table, ids), EmbeddingCache(ids.copy(), table.shape)


def rows_at(table, ids):  # (V, C), (...) int -> (..., C)
    """The rows of these ids; NaN for an id that is no row (possible on a GPU only, where ids are not read)."""
    xp = array_module(table)
    if xp is np:
        return table[ids]
    ids = xp.asarray(ids)  # (...)
    inside = (ids >= 0) & (ids < len(table))  # (...)
    factor = xp.where(inside, 1.0, math.nan).astype(table.dtype)  # (...)
    return table[xp.where(inside, ids, 0)] * factor[..., None]  # (..., C)


def embedding_backward(dy, cache):  # dy (..., C)
    """Returns dtable (V, C). The ids have no gradient."""
    ids, table_shape = cache
    xp = array_module(dy)
    dtable = xp.zeros(table_shape, dtype=dy.dtype)  # (V, C)
    # forward: y[n] = table[ids[n]]: an id that stands in several places gets the sum of their gradients.
    # (dtable[ids] += dy would keep only the last of them.)
    add_at(dtable, ids, dy)  # (V, C)
    return dtable


def embedding_shapes(ids, table) -> OpShapes:
    """ids (...), table (V, C) -> (..., C)."""
    require(table.ndim == 2, "embedding", "table must be (V, C)", ids=ids, table=table)
    require(np.dtype(ids.dtype).kind in "iu", "embedding", f"ids must be integers, not {ids.dtype}", ids=ids)
    out = ArraySpec((*ids.shape, table.shape[1]), table.dtype)
    return OpShapes(out, ids.size * np.dtype(ids.dtype).itemsize, flop=0, backward_flop=out.size)


EMBEDDING = Operation(
    "embedding", embedding_forward, embedding_backward, ("table",), embedding_shapes, arrays=("ids",), wide=False
)
