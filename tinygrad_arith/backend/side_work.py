"""Work beside the chain of a backward: gradients that something else than the current stream may still be writing.

`cuda.side_stream` computes the gradients of weights on a second stream. Whoever touches such a gradient on the first
one, to add to it or to read it, waits for it here before. On the CPU there is no such work.
"""

import threading
from typing import Any, Protocol


class SideWork(Protocol):
    """What is under way beside the chain."""

    def writes(self, array: Any) -> bool:
        """Whether some of it writes to this array."""
        ...

    def join(self) -> None:
        """What the current stream does from now on comes after all of it."""
        ...


class _OfThread(threading.local):
    work: SideWork | None = None


_of_thread = _OfThread()


def side_work() -> SideWork | None:
    """What this thread has under way."""
    return _of_thread.work


def set_side_work(work: SideWork | None) -> None:
    """From now on this is under way."""
    _of_thread.work = work


def wait_for(array: Any) -> None:
    """To be called before the current stream reads or writes a gradient."""
    work = _of_thread.work
    if work is not None and work.writes(array):
        work.join()


def wait_for_all() -> None:
    """To be called before the current stream reads whatever gradients there are."""
    work = _of_thread.work
    if work is not None:
        work.join()
