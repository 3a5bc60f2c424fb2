"""Work beside the chain: the gradients of parameters, for which nobody waits before the whole backward is done.

A backward is a chain: each operation needs the gradient of the one before it. The gradients of weights hang off this
chain like leaves. On one stream they would hold it up, and at the sizes of small models each product leaves most of the
GPU idle. So while a step is captured as a CUDA graph they go to a second stream: they become branches of the graph.
Whoever touches such a gradient on the first stream waits for it there: `backend.side_work` says where that is.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..backend.side_work import set_side_work, side_work
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
        self.written: set[int] = set()  # addresses of the gradients under way

    def fork(self, reads: tuple, writes: tuple) -> None:
        """What the side does from now on comes after what the current stream has been given."""
        self.start.record(cupy.cuda.get_current_stream())
        self.stream.wait_event(self.start)
        self.held += reads
        self.written.update(array.data.ptr for array in writes)

    def writes(self, array: Any) -> bool:
        """Whether the side may still be writing this gradient: a parameter has the same memory for it every time."""
        return isinstance(array, cupy.ndarray) and array.data.ptr in self.written

    def join(self) -> None:
        """What the current stream does from now on comes after what the side has been given."""
        if self.held:
            self.end.record(self.stream)
            cupy.cuda.get_current_stream().wait_event(self.end)
            self.held.clear()
            self.written.clear()


@contextmanager
def branches(stream: Any) -> Iterator[None]:
    """Inside, every `branch` of this thread runs on this stream.

    The current stream waits for all of them at the end, after an error, too, and at the end of every backward inside.
    """
    side = _Side(stream)
    set_side_work(side)
    try:
        yield
        side.join()
    except BaseException:
        with suppress(cupy.cuda.runtime.CUDARuntimeError):  # of a capture that has failed; the first error is told
            side.join()
        raise
    finally:
        set_side_work(None)


@contextmanager
def branch(*reads: Any, writes: tuple, when: bool = True) -> Iterator[None]:
    """Launches inside go to a branch, if there are `branches` around and it is worth it (`when`).

    reads:  all arrays that are read inside
    writes: all that are written: gradients of parameters, which others touch after `backend.side_work.wait_for` only
    """
    side = side_work()
    if not isinstance(side, _Side) or not when:
        yield
        return
    side.fork(reads, writes)
    with side.stream:
        yield
    if sum(array.nbytes for array in side.held) > MOST_HELD:
        side.join()
