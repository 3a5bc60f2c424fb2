"""Which memory was written to since when: views of one memory share one version, whoever made them.

The version belongs to the memory, not to a tensor, so nothing is done where a view is made: it is looked up when
somebody writes, and when a backward runs after a write.
"""

import itertools
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module

numbers = itertools.count(1)  # of nodes and writes in one sequence: which came first is told by their numbers
newest_write = 0
MOST_WRITES = 64  # that a version tells apart; older ones are taken together


class Write(NamedTuple):
    """When, and to which addresses; those of the whole memory are 0 to infinity."""

    number: int
    start: int
    stop: float


class Version:
    """What was written to a piece of memory."""

    __slots__ = ("__weakref__", "_count", "writes")

    def __init__(self) -> None:
        self._count = 0
        self.writes: list[Write] = []

    @property
    def count(self) -> int:
        """How often it was written to. `version.count += 1` tells of a write to all of it."""
        return self._count

    @count.setter
    def count(self, value: int) -> None:
        self._count = value
        self.writes = [_next_write(0, float("inf"))]

    def mark(self, array: Any) -> None:
        """Tells of a write to this array, a view of the memory."""
        self._count += 1
        write = _next_write(*_addresses(array))
        if len(self.writes) >= MOST_WRITES:
            everything = (*self.writes, write)
            write = Write(write.number, min(w.start for w in everything), max(w.stop for w in everything))
            self.writes = []
        self.writes = [*(w for w in self.writes if w[1:] != write[1:]), write]

    def written_since(self, number: int, array: Any) -> bool:
        """Whether this array, a view of the memory, was written to after the node of this number was made."""
        start, stop = _addresses(array)
        return any(w.number > number and w.start < stop and start < w.stop for w in self.writes)


class _Known(NamedTuple):
    owner: Any  # a weak reference: when the memory goes, so does what is known of it
    version: Version


_known: dict[int, _Known] = {}  # by the identity of what owns the memory


def version_of(array: Any) -> Version:
    """The version of the memory that this array is a view of."""
    owner = owner_of(array)
    known = _known.get(id(owner))
    if known is None:
        share(array, version := Version())
        return version
    return known.version


def share(array: Any, version: Version) -> None:
    """Makes this the version of the memory that the array is a view of."""
    owner = owner_of(array)
    key = id(owner)
    _known[key] = _Known(weakref.ref(owner, lambda _: _known.pop(key, None)), version)


def written_since(number: int, array: Any) -> bool:
    """Whether the array was written to, through any view of its memory, after the node of this number was made."""
    if newest_write < number:
        return False
    known = _known.get(id(owner_of(array)))
    return known is not None and known.version.written_since(number, array)


def owner_of(array: Any) -> Any:
    """The array that the memory was made for, or what else lent it."""
    while (base := getattr(array, "base", None)) is not None and _can_be_referred_to(base):
        array = base
    return array


def arrays_in(cache: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays of a cache, a nest of tuples, lists and dicts, each with the name of its field or ""."""
    if isinstance(cache, tuple | list):
        for field, item in zip(getattr(cache, "_fields", None) or ("",) * len(cache), cache, strict=True):
            yield from arrays_in(item, field)
    elif isinstance(cache, dict):
        for key, item in cache.items():
            yield from arrays_in(item, str(key))
    elif hasattr(cache, "strides") and not isinstance(cache, np.generic):
        yield name, cache
    elif hasattr(cache, "array"):  # a tensor
        yield from arrays_in(cache.array, name)


def _next_write(start: int, stop: float) -> Write:
    global newest_write
    newest_write = next(numbers)
    return Write(newest_write, start, stop)


def _can_be_referred_to(owner: Any) -> bool:
    return type(owner).__weakrefoffset__ > 0


def _addresses(array: Any) -> tuple[int, int]:
    """The first address of an array's elements and the one after the last."""
    start = array.ctypes.data if array_module(array) is np else array.data.ptr
    if array.size == 0:
        return start, start
    steps = [(size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True)]
    below, above = sum(step for step in steps if step < 0), sum(step for step in steps if step > 0)
    return start + below, start + above + array.itemsize
