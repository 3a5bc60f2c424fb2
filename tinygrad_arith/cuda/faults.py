"""Ids that are none, met by a kernel: noted in memory that both sides see, and raised when the host waits anyway.

A note is page-locked memory of the host. A kernel writes to it only where an id is wrong, so a good step costs nothing;
the host reads its own memory, so asking costs no synchronisation. See kernels/faults.cuh for what is noted.
"""

import functools
from typing import Any

import numpy as np

from ..backend.deferred import check_with
from .elements import INDEX_TYPES, THREADS, indices_of, quotient
from .source import Build, cupy

WORDS = 2  # of a note: how many ids there are, 0 for no fault; the id that is none of them
SENTENCES = {  # as `ops` has them, by operation
    "embedding": "embedding: ids must be 0 to {last}; one was {found}",
    "cross_entropy": "cross_entropy: targets must be 0 to {last}, or ignore_index where there is none; one was {found}",
}
WHERE = " (a GPU met it, in this step or one before; what it made of it is NaN)"


class Note:
    """What kernels of one operation tell on one device."""

    def __init__(self, operation: str, device: int):
        self.operation, size = operation, WORDS * np.dtype(np.int64).itemsize
        self._memory = cupy.cuda.alloc_pinned_memory(size)
        self.on_host = np.frombuffer(self._memory, np.int64, WORDS)  # (WORDS,)
        self.on_host[:] = 0
        # With unified addresses page-locked memory has one address for both sides
        memory = cupy.cuda.UnownedMemory(self._memory.ptr, size, self._memory, device)
        self.on_device = cupy.ndarray((WORDS,), np.int64, cupy.cuda.MemoryPointer(memory, 0))  # (WORDS,)

    def raise_found(self) -> None:
        """Raises IndexError if a kernel has noted something, and wipes it out."""
        if not self.on_host[0]:
            return
        count, found = self.on_host.tolist()
        self.on_host[:] = 0
        raise IndexError(SENTENCES[self.operation].format(last=count - 1, found=found) + WHERE)


@functools.cache
def _note(operation: str, device: int) -> Note:
    note = Note(operation, device)
    check_with(note.raise_found)
    return note


def note(operation: str) -> Any:
    """Where kernels on the current device tell of a wrong id, (WORDS,) int64; for a key of SENTENCES."""
    return _note(operation, cupy.cuda.runtime.getDevice()).on_device


def build_for(index: np.dtype) -> Build:
    """The kernel for ids of a dtype."""
    return Build("faults.cu", (("INDEX", INDEX_TYPES[index]),))


def check_ids(ids: Any, count: int, operation: str) -> None:  # (...) int
    """Has the GPU tell of an id outside 0 to count - 1, for operations whose own kernels do not. Does not wait."""
    ids = indices_of(ids)  # (N,)
    grid = quotient(ids.size, THREADS)
    build_for(ids.dtype).kernel("check_ids")(grid, THREADS, ids, note(operation), count, ids.size)


BUILDS = tuple(build_for(index) for index in INDEX_TYPES)
