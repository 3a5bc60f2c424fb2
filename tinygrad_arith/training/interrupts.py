"""Ctrl-C that lets the current step finish."""

import signal
import threading
from types import FrameType, TracebackType


class StopSignals:
    """While this context is open, the first SIGINT or SIGTERM only sets `.received`; the second one ends the program.

    Signals can be handled in the main thread only; elsewhere this does nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None  # the number of the signal
        self.previous: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self.handle)
        return self

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note the signal, and put the old handlers back: a second Ctrl-C is not held up by this one."""
        self.received = number
        self.restore()

    def restore(self) -> None:
        """Put back the handlers that were there before."""
        for number, handler in self.previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self.previous = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()
