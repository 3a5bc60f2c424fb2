"""Work beside the chain: the gradients of parameters, for which nobody waits before the whole backward is done.

A backward is a chain: each operation needs the gradient of the one before it. The gradients of weights hang off this
chain like leaves. On one stream they would hold it up, and at the sizes of small models each product leaves most of the
GPU idle. So while a step is captured as a CUDA graph they go to a second stream: they become branches of the graph.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .source import cupy

MOST_HELD = 1 << 28  # bytes kept alive for the second stream before the first one waits for it


class _Side:
    """The second stream, and the arrays that it may still be reading.

    CuPy's pool gives the memory of an array that nobody holds to the next one on the same stream; it does not know that
    another stream still reads it. So arrays are held until the streams are joined.
    """

    def __init__(self, stream: Any):
        self.stream = stream
        self.start, self.end = (cupy.cuda.Event(disable_timing=True) for _ in range(2))
        self.held: list[Any] = []

    def fork(self, arrays: tuple) -> None:
        """What the side does from now on comes after what the current stream has been given."""
        self.start.record(cupy.cuda.get_current_stream())
        self.stream.wait_event(self.start)
        self.held += arrays

    def join(self) -> None:
        """What the current stream does from now on comes after what the side has been given."""
        if self.held:
            self.end.record(self.stream)
            cupy.cuda.get_current_stream().wait_event(self.end)
            self.held.clear()


_side: _Side | None = None


@contextmanager
def branches(stream: Any) -> Iterator[None]:
    """Inside, every `branch` runs on this stream; at the end, at the latest, the current stream waits for all of them.

    One thread at a time: the setting is that of the process.
    """
    global _side
    _side = side = _Side(stream)
    try:
        yield
        side.join()
    finally:
        _side = None


def join_branches() -> None:
    """To be called before the current stream reads what branches write: from here on it comes after all of them."""
    if _side is not None:
        _side.join()


@contextmanager
def branch(*arrays: Any, when: bool = True) -> Iterator[None]:
    """Launches inside go to a branch, if there are `branches` around and it is worth it (`when`).

    arrays: all that is read inside; what is written must be memory that nobody else uses before `join_branches`
    """
    side = _side
    if side is None or not when:
        yield
        return
    side.fork(arrays)
    with side.stream:
        yield
    if sum(array.nbytes for array in side.held) > MOST_HELD:
        side.join()
