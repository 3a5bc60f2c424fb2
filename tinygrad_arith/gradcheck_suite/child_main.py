"""The other end of `gradient_pool`: builds the subjects of `gradcheck`, and checks those that it is asked for.

Little is imported before `main`: a process that a user's code spawns imports this file once more.
"""

import os
import pickle
import queue
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from .pool import Work


def main() -> None:
    """Takes a `Work`, answers the kinds and names of its subjects, then checks one after another until there is no
    more to do.
    """
    parent = Parent()
    work: Work | None = parent.next()
    if work is None:
        return
    settle(work)
    from .pool import build_subjects
    from .suite import check_subject

    subjects = parent.answer_of(lambda: build_subjects(work.file, work.seed))
    if subjects is None:
        return
    parent.answer([(subject.kind, subject.name) for subject in subjects])
    by_name = {subject.name: subject for subject in subjects}
    while (name := parent.next()) is not None:
        outcome = parent.answer_of(
            lambda name=name: check_subject(by_name[name], dtype=work.dtype, device=work.device, seed=work.seed)
        )
        if outcome is not None:
            parent.answer(outcome)


class Parent:
    """The process that asks. What it sends arrives in `next`; when it is gone, this process ends at once.

    The pipes that led here as stdin and stdout are for this alone: a user's code reads nothing, and what it prints goes
    to stderr.
    """

    def __init__(self) -> None:
        self.requests: BinaryIO = os.fdopen(os.dup(0), "rb")
        self.answers: BinaryIO = os.fdopen(os.dup(1), "wb")
        self.end = os._exit  # `exits_raise` replaces it
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        os.close(nowhere)
        os.dup2(2, 1)
        if hasattr(os, "register_at_fork"):  # a child of the user's that lives on must not keep the pipes open
            os.register_at_fork(after_in_child=self._leave)
        self.received: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.busy = False
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> Any:
        """Waits for the next message; None if there are no more."""
        self.busy = False
        message = self.received.get()
        self.busy = message is not None
        return message

    def answer(self, value: Any) -> None:
        """Hands over an answer, after everything that was printed before it."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:  # a user's file may have put them away
                stream.flush()
        try:
            pickle.dump(value, self.answers, pickle.HIGHEST_PROTOCOL)
            self.answers.flush()
        except OSError:
            self.end(1)

    def answer_of(self, work: Any) -> Any:
        """What `work()` returns; None if it raised what the command is to raise: that has been answered then."""
        from ..options.errors import UserError

        try:
            return work()
        except (UserError, KeyboardInterrupt) as error:
            self.answer(error)
            return None

    def _read(self) -> None:
        try:
            with suppress(EOFError, OSError):
                while True:
                    self.received.put(pickle.load(self.requests))
            if self.busy:  # nobody waits for the answer any more
                end_group()
                self.end(1)
        finally:
            self.received.put(None)

    def _leave(self) -> None:
        for pipe in (self.requests, self.answers):
            os.close(pipe.fileno())


def settle(work: "Work") -> None:
    """One thread for each matrix multiplication; for a user's file, sys.path and sys.argv as after `python FILE`.

    The processes that a file spawns find its functions by this sys.path.
    """
    from threadpoolctl import threadpool_limits

    from .user_operations import NoArguments

    threadpool_limits(limits=1, user_api="blas")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # as in `run_command`
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


def end_group() -> None:
    """Kill this process and those that it started, where the system has groups of processes."""
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
