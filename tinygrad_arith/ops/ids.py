"""Ids that choose a row or a class: none is read, or counted from the end, that is not there."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import array_module

_tellers: list[Callable[[Any, int, str], None]] = []


def tell_with(check: Callable[[Any, int, str], None]) -> None:
    """From now on ids on a GPU, their count and the operation's name go to this, which tells of wrong ones later."""
    _tellers.append(check)


def require_ids(ids, count: int, whose: str, besides: str = "") -> None:  # ids (...) int
    """Raises IndexError for an id outside 0 to count - 1, with `whose` as the sentence's subject.

    Ids on a GPU are not read, which would wait for it: there what is made of such an id is NaN, and a kernel tells of
    it later (`backend.deferred`).
    """
    if ids.size == 0:
        return
    if array_module(ids) is not np:
        for tell in _tellers:
            tell(ids, count, whose.partition(":")[0])
        return
    lowest, highest = int(ids.min()), int(ids.max())
    if lowest < 0 or highest >= count:
        raise IndexError(f"{whose} must be 0 to {count - 1}{besides}; these go from {lowest} to {highest}")
