"""The subjects of `gradcheck`, checked in processes of their own.

All cores are used, and a user's file can do no harm: where it ends the process that runs it (os._exit, a crash), its
pair has failed, and the command goes on with the others.
"""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ..options.errors import UserError
from .suite import Outcome, Subject, check_subject, rough_cost

PROCESS = "tinygrad_arith.gradcheck_suite.child_main"
PATIENCE = 5.0  # seconds for a process to end by itself when its work is done
LOOK_EVERY = 0.5  # seconds; where a wait cannot be interrupted (Windows), Ctrl-C is heard so often


@dataclass(frozen=True)
class Work:
    """What is checked and how.

    file: of a user's pairs; None for all of ours
    """

    file: str | None = None
    seed: int = 0
    dtype: str = "float64"
    device: str = "cpu"


class ProcessEnded(Exception):
    """A process ended before it had answered; the text says how."""


def build_subjects(file: str | None, seed: int) -> list[Subject]:
    """What can be checked: all of ours, or the pairs of a user's file, which is run here."""
    if file is None:
        from .subjects import all_subjects

        return all_subjects(seed)
    from .user_operations import user_subjects

    return user_subjects(file, seed)


class CheckingProcess:
    """A process that has the subjects of a `Work`, and checks those it is asked for.

    It hears no Ctrl-C: it is killed, together with all that it started.
    """

    def __init__(self, work: Work):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        self.requests: Any = self.process.stdin
        self.answers: Any = self.process.stdout
        self.known: list[Subject] | None = None
        self._send(work)

    def subjects(self) -> list[Subject]:
        """The kinds and names of its subjects, without their trials.

        Raises UserError if there is something wrong with the user's file, and ProcessEnded.
        """
        if self.known is None:
            self.known = [Subject(kind, name, ()) for kind, name in self._receive()]
        return self.known

    def check(self, name: str) -> Outcome:
        """The outcome of one of the subjects. Raises as `subjects` does."""
        self.subjects()
        self._send(name)
        return self._receive()

    def _send(self, message: Any) -> None:
        with suppress(OSError):  # it is gone: `_receive` will say how
            pickle.dump(message, self.requests, pickle.HIGHEST_PROTOCOL)
            self.requests.flush()

    def _receive(self) -> Any:
        try:
            answer = pickle.load(self.answers)
        except (OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise ProcessEnded(self._end_in_words()) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _end_in_words(self) -> str:
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return "does not answer any more"
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def close(self) -> None:
        """Let it end, for which it has a few seconds: a user's code may have something to put away."""
        with suppress(OSError):
            self.requests.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        self.kill()

    def kill(self) -> None:
        """End it, and what it started, at once."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        for pipe in (self.requests, self.answers):
            with suppress(OSError):  # something is unsent
                pipe.close()


class GradientPool:
    """Checks subjects: ours in this process or, several at a time, in others; those of a user's file in others always.

    jobs: how many there may be at a time
    """

    def __init__(self, work: Work, jobs: int):
        self.work, self.jobs = work, jobs
        self.processes: list[CheckingProcess] = []
        self.waiting: deque[Subject] = deque()
        self.running: list[str] = []  # the names of what is being checked
        self.done: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        self.lock, self.ended = threading.Lock(), False

    def __enter__(self) -> "GradientPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.lock:
            self.ended = True
        for process in self.processes:
            if kind is None:
                process.close()
            else:
                process.kill()

    def subjects(self) -> list[Subject]:
        """All that can be checked. Raises UserError if there is something wrong with the user's file."""
        if self.work.file is None:
            return build_subjects(None, self.work.seed)
        try:
            return self._open().subjects()
        except ProcessEnded as ended:
            raise UserError(f"{Path(self.work.file).name}: the process that ran this file {ended}") from ended

    def outcomes(self, subjects: Sequence[Subject]) -> Iterator[Outcome]:
        """The outcome of each subject as soon as it is known; the largest are begun first."""
        jobs = min(self.jobs, len(subjects))
        if self.work.file is None and (jobs == 1 or self.work.device != "cpu"):
            yield from self._outcomes_here(subjects)
            return
        self.waiting.extend(sorted(subjects, key=rough_cost, reverse=True))
        ready = list(self.processes)  # the one that told the subjects of a user's file
        for process in [*ready, *[None] * (jobs - len(ready))]:
            threading.Thread(target=self._work_off, args=(process,), daemon=True).start()
        for _ in subjects:
            yield self._next()

    def _outcomes_here(self, subjects: Sequence[Subject]) -> Iterator[Outcome]:
        work = self.work
        for subject in subjects:
            self.running = [subject.name]
            yield check_subject(subject, dtype=work.dtype, device=work.device, seed=work.seed)

    def _next(self) -> Outcome:
        while True:
            with suppress(queue.Empty):
                outcome = self.done.get(timeout=LOOK_EVERY)
                if isinstance(outcome, BaseException):
                    raise outcome
                return outcome

    def _work_off(self, process: CheckingProcess | None) -> None:
        """In a thread of its own: have a process check what is waiting, and another one where it ends."""
        while self.waiting:
            with suppress(IndexError):  # another thread was faster
                subject = self.waiting.popleft()
                self.running.append(subject.name)
                began = time.perf_counter()
                try:
                    process = process or self._open()
                    self.done.put(process.check(subject.name))
                except ProcessEnded as ended:
                    process = None
                    self.done.put(self._outcome_of_end(subject, ended, time.perf_counter() - began))
                except BaseException as error:
                    self.done.put(error)
                    return
                finally:
                    self.running.remove(subject.name)

    def _open(self) -> CheckingProcess:
        with self.lock:
            if self.ended:
                raise ProcessEnded("is not needed any more")
            self.processes.append(CheckingProcess(self.work))
            return self.processes[-1]

    def _outcome_of_end(self, subject: Subject, ended: ProcessEnded, seconds: float) -> Outcome:
        where = f" ({Path(self.work.file).name})" if self.work.file else ""
        failure = f"{subject.name}{where}: the process that checked it {ended}"
        return Outcome(subject.kind, subject.name, 0, 0, None, 0, 0, seconds, (failure,), "wrong")
