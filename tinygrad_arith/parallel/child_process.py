"""A Python process beside this one, spoken to in pickled messages through its stdin and stdout."""

import contextlib
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from ..options.errors import RunWarning, UserError
from .interrupts import deaf_to_ctrl_c, ignore_stop_signals, open_closed_streams, stop_signals_blocked

INSIDE = "TINYGRAD_ARITH_CHILD"  # of the environment: set in every such process
PATIENCE = 5.0  # seconds for a process whose pipe is closed to end by itself

# For folders that PYTHONPATH cannot name, since they have its separator in them:
WITH_PATHS = "import runpy, sys; sys.path[:0] = {paths!r}; runpy.run_module({module!r}, {{}}, '__main__', True)"


def python_module(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """What runs a module in another Python, which finds all that this one finds: (command, environment)."""
    paths = [path for path in sys.path if path]
    nameable = [path for path in paths if os.pathsep not in path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(nameable)}
    if nameable == paths:
        return [sys.executable, "-m", module, *arguments], environment
    return [sys.executable, "-c", WITH_PATHS.format(paths=paths, module=module), *arguments], environment


def refuse_inside_child() -> None:
    """Raises UserError in a process of a training: one that trains there too would start more of them without end.

    It comes to that where such a process imports a program that trains whenever it is imported: the file of a task, or
    one that has the name of a module of Python, `random.py` for one.
    """
    if os.environ.get(INSIDE):
        raise UserError(
            "a process of a training starts no training of its own; a file that it imports does so at its top level: "
            "put that under `if __name__ == '__main__':`, or give the file a name that is no module's"
        )


class ChildProcess:
    """A process that runs a module of this package, and what is said to it, first of all its task; see `Parent`.

    It gets no signal that asks it to stop: it ends when this object is closed, or with the process that made it.

    advice:      what the user may do where it died, as the end of a sentence
    descriptors: open files that it gets too, under the same numbers; none on Windows
    """

    def __init__(
        self,
        module: str,
        *task: Any,
        advice: str = "--worker-kind threads does without processes",
        descriptors: Sequence[int] = (),
    ):
        refuse_inside_child()
        open_closed_streams()  # it has this process's stderr
        command, environment = python_module(module)
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with stop_signals_blocked():
            self.process = subprocess.Popen(
                command, **pipes, env=environment | {INSIDE: "1"}, pass_fds=descriptors, **deaf_to_ctrl_c()
            )
        self.requests: Any = self.process.stdin
        self.answers: Any = self.process.stdout
        self.advice = advice
        self.send(*task)

    def send(self, *message: Any) -> None:
        """Hands over a message. Raises UserError if the process is gone."""
        try:
            pickle.dump(message, self.requests, pickle.HIGHEST_PROTOCOL)
            self.requests.flush()
        except OSError as error:
            raise self.gone() from error

    def receive(self) -> Any:
        """Waits for its next answer, which may be the error that it met. Raises UserError if it is gone."""
        try:
            return pickle.load(self.answers)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise self.gone() from error

    def gone(self) -> UserError:
        """The error to raise when the process has ended, or says what cannot be understood, upon which it is ended."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        return UserError(f"a process of this training ended with status {status}; {self.advice}")

    def kill(self) -> None:
        """Ends the process at once, whatever it is doing; it is to be closed all the same."""
        self.process.kill()

    def close(self) -> None:
        """Ends the process: the end of its requests is the end of its work."""
        with contextlib.suppress(OSError):  # it is gone already, with something unsent
            self.requests.close()
        self.answers.close()  # a process that is writing an answer is told so
        self.process.wait()


class Parent:
    """The other end, in the child: what it is asked, and its answers."""

    def __init__(self) -> None:
        ignore_stop_signals()
        warnings.simplefilter("ignore", RunWarning)  # what there is to warn of, the other end has said
        open_closed_streams()  # else stderr's number would be that of the answers
        self.requests: BinaryIO = sys.stdin.buffer
        self.answers = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # whatever else is printed goes to stderr: stdout is for answers

    def messages(self) -> Iterator[Any]:
        """Every message, until the parent closes."""
        with contextlib.suppress(EOFError):
            while True:
                yield pickle.load(self.requests)

    def answer(self, value: Any) -> None:
        """Hands over an answer; ends this process if nobody listens any more, because the training ended or died."""
        try:
            pickle.dump(value, self.answers, pickle.HIGHEST_PROTOCOL)
            self.answers.flush()
        except OSError:
            os._exit(1)
