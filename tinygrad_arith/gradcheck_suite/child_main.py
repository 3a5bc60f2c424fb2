"""The main function of a `CheckingProcess`: builds the subjects of `gradcheck`, and checks those that it is asked for.

Little is imported before `main`: a process that a user's code spawns imports this file once more.
"""

import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..options.errors import UserError
from ..parallel import child_process
from ..parallel.interrupts import STOP_SIGNALS

if TYPE_CHECKING:
    from .pool import Work

NO_MORE = ()  # the last message: this process is to end by itself


def main() -> None:
    """Takes a `Work`. Then answers the name of a subject with its outcome, and None with all subjects."""
    parent = Parent()
    messages = parent.messages()
    (work,) = next(messages)
    settle(work)
    subjects = cache(lambda: {subject.name: subject for subject in work.subjects()})
    for (name,) in messages:
        try:
            if name is None:
                parent.answer([replace(subject, trials=()) for subject in subjects().values()])
            else:
                parent.answer(work.check(subjects()[name]))
        except (UserError, KeyboardInterrupt) as error:  # what the command is to raise
            parent.answer(error)


class Parent(child_process.Parent):
    """The process that asks. When it is gone, this process ends at once, with all that it started.

    The pipes that led here as stdin and stdout are for this alone: a user's code reads nothing, and what it prints goes
    to stderr.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests = os.fdopen(os.dup(0), "rb")
        with open(os.devnull, encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), 0)
        lead_group()
        if hasattr(os, "register_at_fork"):  # a child of the user's that lives on must not keep the pipes open
            os.register_at_fork(after_in_child=self._leave)
        self.received: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def messages(self) -> Iterator[Any]:
        """Every message until there is no more to do."""
        return iter(self.received.get, NO_MORE)

    def _read(self) -> None:
        message: Any = None
        with suppress(EOFError, OSError, pickle.UnpicklingError):
            while message != NO_MORE:
                message = pickle.load(self.requests)
                self.received.put(message)
        if message != NO_MORE:
            end_group()

    def _leave(self) -> None:
        for pipe in (self.requests, self.answers):
            os.close(pipe.fileno())


def lead_group() -> None:
    """Begin a group of processes, which is killed as a whole, and which no Ctrl-C reaches.

    The stop signals, which `ChildProcess` has blocked, do what they always do: a user's code may send them.
    """
    if hasattr(os, "setsid"):
        os.setsid()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def end_group() -> None:
    """Kill this process and those that it started, where the system has groups of processes."""
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGTERM)  # on Windows, the end at once


def settle(work: "Work") -> None:
    """One thread for each matrix multiplication; for a user's file, sys.path and sys.argv as after `python FILE`.

    The processes that a file spawns find its functions by this sys.path.
    """
    from threadpoolctl import threadpool_limits

    from .user_operations import NoArguments

    threadpool_limits(limits=1, user_api="blas")
    for stream in (sys.stdout, sys.stderr):  # with "replace" as in `run_command`; by lines, so that none comes too late
        stream.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]
    if work.file is not None:
        file = Path(work.file).resolve()
        sys.path.insert(0, str(file.parent))
        sys.argv = NoArguments([str(file)])
        exits_raise()


def exits_raise() -> None:
    """Let os._exit raise SystemExit in this process, so that the line which calls it can be named.

    In its children, which end that way, it stays what it is.
    """
    end, here = os._exit, os.getpid()

    def _exit(status: int) -> None:
        if os.getpid() != here:
            end(status)
        raise SystemExit(status)

    os._exit = _exit  # type: ignore[assignment]


if __name__ == "__main__":
    main()
