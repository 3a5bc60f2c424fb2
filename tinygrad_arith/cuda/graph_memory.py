"""Memory that captured graphs own: it is given back all at once, when the last of them is gone.

A graph has the addresses of its temporaries built in, but to CuPy's pool a temporary is free as soon as Python lets go
of it. That is how the pool serves the next array of the same graph, and it does no harm until the device runs out of
memory: then the pool gives its free blocks back to the device, and the next replay writes to memory that is somebody
else's. So the pool of graphs is fed by `KeptBlocks`, which takes a block back from the pool but gives none away.
"""

from typing import Any, NamedTuple

from .source import cupy

OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation


class Place(NamedTuple):
    """Where a block may be used again: on its device and, since nobody waits in between, on its stream."""

    device: int
    stream: int


class KeptBlocks:
    """Blocks of device memory, all kept until this object is gone."""

    def __init__(self) -> None:
        self._memory: dict[int, Any] = {}  # by address: what frees the block when it goes
        self._places: dict[int, Place] = {}
        self._dropped: list[int] = []  # addresses of blocks that the pool has let go of

    def pool(self) -> Any:
        """A pool of CuPy that gets its memory here."""
        return cupy.cuda.MemoryPool(cupy.cuda.PythonFunctionAllocator(self._take, self._drop).malloc)

    def _take(self, size: int, device: int) -> int:
        """The address of a block: one that the pool had before, else a new one. Raises CUDARuntimeError."""
        place = Place(device, cupy.cuda.get_current_stream().ptr)
        fitting = [at for at in self._dropped if self._places[at] == place and self._memory[at].size >= size]
        if fitting:
            smallest = min(fitting, key=lambda at: self._memory[at].size)
            self._dropped.remove(smallest)
            return smallest
        memory = new_block(size)
        self._memory[memory.ptr], self._places[memory.ptr] = memory, place
        return memory.ptr

    def _drop(self, address: int, device: int) -> None:
        """The pool lets go of a block. Graphs may still use it: it stays, for the next array that fits."""
        self._dropped.append(address)

    @property
    def total_bytes(self) -> int:
        """Of all blocks."""
        return sum(memory.size for memory in self._memory.values())


def new_block(size: int) -> Any:
    """A block on the current device, freed when the object goes. Raises CUDARuntimeError.

    If the device is out of memory, CuPy's own pool first gives back its free blocks.
    """
    try:
        return cupy.cuda.Memory(size)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        if error.status != OUT_OF_MEMORY:
            raise
    cupy.get_default_memory_pool().free_all_blocks()
    return cupy.cuda.Memory(size)
