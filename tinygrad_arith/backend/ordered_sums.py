"""Sums at places that repeat, in a fixed order on every device.

`numpy.add.at` goes through the values one after another. CuPy's adds them by atomic operations, in whatever order the
GPU comes to them: other bits each time. Here, on a GPU, they are sorted by place, the sort keeping the order of equals,
and each run of one place is added up by pairs, then pairs of pairs: the order depends on the places alone. Nothing
waits for the GPU (but masks, which it has to be asked for), so all of it may stand in a CUDA graph.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from .arrays import array_module

NARROW = ("float16", "bfloat16")  # a long sum in 16 bits stops growing: these are added in float32
MOST = 2**31 - 1  # places and positions that a GPU's own sort takes: both share a number of 64 bits
_sorts: list[Callable[[Any, int], Any]] = []


def sort_with(stable_order: Callable[[Any, int], Any]) -> None:
    """From now on a GPU's places are sorted by this (see `order_of`); CuPy's own sort cannot stand in a graph."""
    _sorts.append(stable_order)


def add_at(target: Any, index: Any, values: Any) -> None:
    """target[index] += values, an element that `index` names several times getting all of its values.

    An id outside the first axis is left out on a GPU; on the CPU it is an IndexError.
    """
    xp = array_module(target)
    wide = np.dtype(np.float32) if target.dtype.name in NARROW else target.dtype
    if xp is np:
        sums = target.astype(wide, copy=False)
        np.add.at(sums, index, values)
        if sums is not target:
            target[...] = sums
        return
    values = values.astype(wide)
    if getattr(index, "dtype", np.dtype(bool)).kind in "iu":  # ids of whole rows
        rows, row_size = len(target), target[:1].size
        ids = row_places(xp.asarray(index).reshape(-1), rows, xp)  # (N,)
        flat = xp.broadcast_to(values, (*index.shape, *target.shape[1:])).reshape(len(ids), row_size)  # (N, C)
        sums = sums_by_place(ids, flat, rows, xp)  # (rows, C)
    else:
        places = xp.arange(target.size).reshape(target.shape)[index]  # what is named, by number
        flat = xp.broadcast_to(values, places.shape).reshape(-1, 1)  # (N, 1)
        sums = sums_by_place(places.reshape(-1), flat, target.size, xp)  # (elements, 1)
    target += sums.reshape(target.shape).astype(target.dtype)


def row_places(ids: Any, rows: int, xp: ModuleType) -> Any:  # (N,) int -> (N,) int64
    """The rows of these ids, negative ones counted from the end; `rows` for an id outside the table.

    In 64 bits: the number of rows need not fit the dtype of the ids.
    """
    if ids.dtype == np.uint64:
        ids = xp.minimum(ids, np.uint64(rows))  # larger ones would become negative
    ids = ids.astype(np.int64, copy=False)  # (N,)
    return xp.where((ids >= -rows) & (ids < rows), ids % max(rows, 1), rows)


def sums_by_place(places: Any, values: Any, count: int, xp: ModuleType) -> Any:  # (N,) int; (N, C) -> (count, C)
    """The sums of the rows of `values` at each place; those at place `count` are left out."""
    sums = xp.zeros((count + 1, values.shape[1]), dtype=values.dtype)  # (count + 1, C)
    total = len(places)
    if total == 0 or sums.size == 0:
        return sums[:count]
    order = order_of(places, count + 1, xp)  # (N,)
    places, values = places[order], values[order]  # (N,), (N, C)
    distance = 1
    while distance < total:  # each row becomes the sum of the last 2 * distance rows of its place, itself included
        same = (places[distance:] == places[:-distance])[:, None]  # (N - distance, 1)
        values[distance:] += xp.where(same, values[:-distance], 0)  # (N - distance, C): another place's NaN stays there
        distance *= 2
    is_last = xp.ones(total, dtype=bool)  # (N,)
    is_last[:-1] = places[1:] != places[:-1]
    sums[xp.where(is_last, places, count)] = values  # all but the last of a place go to the row that is left out
    return sums[:count]


def order_of(places: Any, count: int, xp: ModuleType) -> Any:  # (N,) int, 0 to count - 1 -> (N,) int
    """The positions in the order of their places, equals in their own order."""
    if xp is not np and _sorts and max(len(places), count) <= MOST:
        return _sorts[-1](places, count)
    return xp.argsort(places, kind="stable")
