"""A contestant's process: python -m cpu_rivals.worker VARIANT THREADS. And the script's handle on it, `Worker`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).resolve().parent.parent
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NPROC",  # the size of XLA's own pool on the CPU
)


class WorkerError(RuntimeError):
    """A worker could not start, answered with an error, or died."""


def worker_environment(threads: int, extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of a worker: so many threads for every library, and this folder's packages importable."""
    environment = dict(os.environ)
    environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    environment["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=true intra_op_parallelism_threads={threads}"
    paths = [str(BENCHMARKS), str(BENCHMARKS.parent), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment | (extra or {})


class Worker:
    """A contestant's process, as the script sees it. Use as a context manager: the process ends with it."""

    def __init__(self, name: str, threads: int, environment: dict[str, str] | None = None):
        self.name = name
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (closed in `close`)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cpu_rivals.worker", name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=worker_environment(threads, environment),
            text=True,
            encoding="utf-8",
        )

    def ask(self, command: str, **arguments: Any) -> dict:
        """Sends a command, waits for its result. Raises WorkerError."""
        try:
            self.process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise WorkerError(f"{self.name} ended during {command!r}: {self.last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["ok"]

    def last_words(self) -> str:
        """The last line that the worker wrote to its stderr."""
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit status {self.process.returncode}"

    def close(self) -> None:
        """Ends the process."""
        with contextlib.suppress(OSError):  # it is gone already, with something unsent
            self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def use_cores(threads: int) -> None:
    """Holds this process to so many cores, where the system allows: nobody gets more, whatever its flags say."""
    if hasattr(os, "sched_setaffinity"):  # Linux only
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def main() -> None:
    """Makes the contestant and serves it. What libraries print goes to stderr: stdout is the protocol's."""
    from .protocol import Session, serve
    from .variants import find_variant

    name, threads = sys.argv[1], int(sys.argv[2])
    use_cores(threads)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        contestant = find_variant(name).make(threads)
    except ImportError as error:
        sys.exit(f"not installed: {error}")
    serve(Session(contestant, name), sys.stdin, answers)


if __name__ == "__main__":
    main()
