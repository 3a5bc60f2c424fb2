"""Signals that ask a program to stop, and Ctrl-C that lets the current step finish."""

import os
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

from ..options.system import on_windows

HANG_UP: int | None = getattr(signal, "SIGHUP", None)  # the terminal was closed; Windows does not tell
BREAK: int | None = getattr(signal, "SIGBREAK", None)  # Ctrl-Break, and how a process on Windows asks another to stop
STOP_SIGNALS = tuple(number for number in (signal.SIGINT, signal.SIGTERM, HANG_UP, BREAK) if number is not None)
FROM_KEYBOARD = (signal.SIGINT, BREAK)
NEW_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200)  # of Windows, as is the next one
BREAK_EVENT = getattr(signal, "CTRL_BREAK_EVENT", 1)


class StopSignals(ExitStack):
    """While this context is open, the first SIGINT, SIGTERM, SIGHUP or (Windows) SIGBREAK only sets `.received`; a
    SIGINT after it ends the program.

    Further ones of the others do nothing: a closed terminal, and `timeout`, send theirs twice at once. What is written
    to a closed terminal is lost, without an error. A program that was started to outlive its terminal (`nohup`) does
    not get SIGHUP here either. Signals can be handled in the main thread only; elsewhere this does nothing.

    tell: is called with the number of the first signal, in the midst of whatever this thread was doing: it must not use
          what that may be using, such as `print` or a lock
    """

    received: int | None = None  # the number of the signal

    def __init__(self, tell: Callable[[int], None] = lambda number: None):
        super().__init__()
        self.tell = tell

    def __enter__(self) -> "StopSignals":
        self.on_ctrl_c = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                before = signal.getsignal(number)
                if number != HANG_UP or before != signal.SIG_IGN:
                    signal.signal(number, self.handle)
                    self.callback(signal.signal, number, before)
        return self

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal, and put SIGINT's old handler back: a second Ctrl-C is not held up by this one."""
        if self.received is None:
            self.received = number
            signal.signal(signal.SIGINT, self.on_ctrl_c)
            if number != HANG_UP:  # then nobody is there to be told
                self.tell(number)
        if number == HANG_UP:
            leave_terminal()


def leave_terminal() -> None:
    """Write to nowhere from now on, unless stdout or stderr is a file: an error there would end what is to be saved."""
    for stream in (1, 2):
        try:
            leads_to_a_file = stat.S_ISREG(os.fstat(stream).st_mode)
        except OSError:  # closed, as some programs that use this package are started
            continue
        if not leads_to_a_file:
            to_nowhere(stream)


def to_nowhere(descriptor: int) -> None:
    """Lose what is written to a file descriptor from now on, without an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def open_closed_streams() -> None:
    """Let stdin, stdout and stderr lead to nowhere where they are closed (`>&-`).

    A file gets the lowest number that is free: without this the next one that is opened, or memory that is shared,
    would be where everything is printed.
    """
    for stream in (0, 1, 2):
        try:
            os.fstat(stream)
        except OSError:  # closed; those below it are open, so this one has the lowest number
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # else it would be closed in every child again


@contextmanager
def stop_signals_blocked() -> Iterator[None]:
    """Processes that are started meanwhile do not get the stop signals: their parent tells them when to end.

    Such a signal often goes to all processes of a terminal or a job, and only the first of them is to decide. Blocked
    signals stay blocked in a child, from its first instant on. (Windows cannot; see `deaf_to_ctrl_c`.)
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def deaf_to_ctrl_c() -> dict[str, Any]:
    """Arguments of Popen for a process that no Ctrl-C reaches from its first instant on, on Windows too: a group of its
    own does not get it there. Elsewhere `stop_signals_blocked` does that.
    """
    return {"creationflags": NEW_GROUP} if on_windows() else {}


def stopped_by_us_alone() -> dict[str, Any]:
    """Arguments of Popen for a process that Ctrl-C on the terminal does not reach, but `ask_to_stop` does."""
    return {"creationflags": NEW_GROUP} if on_windows() else {"start_new_session": True}


def ask_to_stop(process: "subprocess.Popen[Any]") -> None:
    """Let a process that was started with `stopped_by_us_alone` save and stop.

    Windows has no way to tell one that shares no console with this one: it is ended, and goes on from what it saved.
    """
    if not on_windows():
        process.send_signal(signal.SIGINT)
        return
    try:
        process.send_signal(BREAK_EVENT)
    except OSError:
        process.terminate()


def ignore_stop_signals() -> None:
    """For a child process: see `stop_signals_blocked`."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
