"""Work on a side stream during a backward: gradients that another stream than the current one may still be writing.

`cuda.side_stream` computes the gradients of weights on a side stream. Whoever reads or adds to such a gradient on the
main stream waits for it here first. On the CPU there is no such work.
"""

import threading
from typing import Any, Protocol


class SideWork(Protocol):
    """What is under way on a side stream."""

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
