"""The subjects of `gradcheck`, checked in processes of their own.

All cores are used, and a user's file can do no harm: where it ends the process that runs it (os._exit, a crash), its
pair has failed, and the command goes on with the others.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

from ..options.errors import UserError
from ..parallel.child_process import ChildProcess
from .child_main import NO_MORE
from .subjects import all_subjects
from .suite import Outcome, Subject, check_subject, rough_cost
from .user_operations import user_subjects

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

    def subjects(self) -> list[Subject]:
        """All of ours, or the pairs of the user's file, which is run here."""
        return all_subjects(self.seed) if self.file is None else user_subjects(self.file, self.seed)

    def check(self, subject: Subject) -> Outcome:
        """What there is to say about one of them."""
        return check_subject(subject, dtype=self.dtype, device=self.device, seed=self.seed)


class ProcessEnded(UserError):
    """A process ended before it had answered; the text says how."""


class CheckingProcess(ChildProcess):
    """A process that has the subjects of a `Work`, and checks those it is asked for.

    It hears no Ctrl-C: it is killed, together with all that it started.
    """

    def __init__(self, work: Work):
        super().__init__("tinygrad_arith.gradcheck_suite.child_main", work)

    def ask(self, name: str | None) -> Any:
        """The outcome of a subject; without a name, all subjects, but not their trials.

        Raises UserError if there is something wrong with the user's file, and ProcessEnded.
        """
        self.send(name)
        answer = self.receive()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def gone(self) -> ProcessEnded:
        """The error to raise when the process has ended."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return ProcessEnded("does not answer any more")
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return ProcessEnded(how)

    def close(self) -> None:
        """Let it end, for which it has a few seconds: a user's code may have something to put away."""
        with suppress(ProcessEnded, subprocess.TimeoutExpired):
            self.send(*NO_MORE)
            self.process.wait(PATIENCE)
        self.kill()

    def kill(self) -> None:
        """End it, and what it started, at once."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        super().close()


class GradientPool:
    """Checks subjects: ours in this process or, several at a time, in others; those of a user's file in others always.

    jobs: how many there may be at a time
    """

    def __init__(self, work: Work, jobs: int):
        self.work, self.jobs = work, jobs
        self.threads = ThreadPoolExecutor(jobs)  # each waits for the answer of one process
        self.processes: list[CheckingProcess] = []
        self.idle: list[CheckingProcess] = []
        self.running: list[str] = []  # the names of what is being checked
        self.lock, self.ended = threading.Lock(), False

    def __enter__(self) -> "GradientPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
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
            return self.work.subjects()
        process = self._take()
        self.idle.append(process)
        try:
            return process.ask(None)
        except ProcessEnded as ended:
            raise UserError(f"{Path(self.work.file).name}: the process that ran this file {ended}") from ended

    def outcomes(self, subjects: Sequence[Subject]) -> Iterator[Outcome]:
        """The outcome of each subject as soon as it is known; the largest are begun first."""
        if self.work.file is None and (self.work.device != "cpu" or min(self.jobs, len(subjects)) == 1):
            for subject in subjects:
                self.running = [subject.name]
                yield self.work.check(subject)
            return
        if (self.work.dtype, self.work.device) == ("float32", "cpu"):
            import_module("tinygrad_arith.cpu")  # what it has to warn of is told here, once, and not by each process
        largest_first = sorted(subjects, key=rough_cost, reverse=True)
        waiting = {self.threads.submit(self._outcome, subject) for subject in largest_first}
        while waiting:
            done, waiting = wait(waiting, LOOK_EVERY, FIRST_COMPLETED)
            yield from (check.result() for check in done)

    def _outcome(self, subject: Subject) -> Outcome:
        """In one of the threads: what a process finds, or how it ended."""
        process, began = self._take(), time.perf_counter()
        self.running.append(subject.name)
        try:
            outcome = process.ask(subject.name)
        except ProcessEnded as ended:
            where = f" ({Path(self.work.file).name})" if self.work.file else ""
            failure = f"{subject.name}{where}: the process that checked it {ended}"
            seconds = time.perf_counter() - began
            return Outcome(subject.kind, subject.name, 0, 0, None, 0, 0, seconds, (failure,), "wrong")
        finally:
            self.running.remove(subject.name)
        self.idle.append(process)
        return outcome

    def _take(self) -> CheckingProcess:
        """A process that has nothing to do, or a new one."""
        with self.lock:
            if self.ended:
                raise ProcessEnded("is not needed any more")
            if self.idle:
                return self.idle.pop()
            self.processes.append(CheckingProcess(self.work))
            return self.processes[-1]
