"""Work on a second stream, the side stream: the gradients of parameters, which nothing needs before the backward's end.

A backward is a chain: each operation needs the gradient of the one after it in the forward. No other operation needs
the gradients of weights. On one stream they would delay the chain, and at the sizes of small models each GEMM leaves
most of the GPU idle. So while a step is captured as a CUDA graph, they go to the side stream, and the graph runs both
in parallel. Code that reads or writes such a gradient on the main stream waits for the side stream first:
`backend.side_work` says where.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..backend.side_work import set_side_work, side_work
from .source import cupy

MOST_HELD = 1 << 28  # bytes kept alive for the side stream before the main stream waits for it


class _SideStream:
    """The side stream, and the arrays that it may still be reading.

    CuPy's pool gives the memory of an array that nobody holds to the next one on the same stream; it does not know that
    another stream still reads it. So arrays are held until the streams are joined.
    """

    def __init__(self, stream: Any):
        self.stream = stream
        self.start, self.end = (cupy.cuda.Event(disable_timing=True) for _ in range(2))
        self.held: list[Any] = []
        self.written: set[int] = set()  # addresses of the gradients under way

    def fork(self, reads: tuple, writes: tuple) -> None:
        """Makes later work on the side stream run after all work already queued on the current stream."""
        self.start.record(cupy.cuda.get_current_stream())
        self.stream.wait_event(self.start)
        self.held += reads
        self.written.update(array.data.ptr for array in writes)

    def writes(self, array: Any) -> bool:
        """Whether the side stream may still be writing this gradient: its address, which never changes, tells."""
        return isinstance(array, cupy.ndarray) and array.data.ptr in self.written

    def join(self) -> None:
        """Makes later work on the current stream run after all work already queued on the side stream."""
        if self.held:
            self.end.record(self.stream)
            cupy.cuda.get_current_stream().wait_event(self.end)
            self.held.clear()
            self.written.clear()


@contextmanager
def using_side_stream(stream: Any) -> Iterator[None]:
    """Inside, all work of this thread under `on_side_stream` goes to this stream.

    The current stream waits for it at the end (also after an error), and at the end of every backward inside.
    """
    side = _SideStream(stream)
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
def on_side_stream(*reads: Any, writes: tuple, when: bool = True) -> Iterator[None]:
    """Launches inside go to the side stream, if `using_side_stream` is active and `when` is true.

    reads:  all arrays that are read inside
    writes: all arrays that are written: gradients of parameters, which others touch only after
            `backend.side_work.wait_for`
    """
    side = side_work()
    if not isinstance(side, _SideStream) or not when:
        yield
        return
    side.fork(reads, writes)
    with side.stream:
        yield
    if sum(array.nbytes for array in side.held) > MOST_HELD:
        side.join()
