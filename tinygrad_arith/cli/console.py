"""How every command starts and ends, and what it prints with."""

import contextlib
import errno
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TextIO

from rich import box, filesize
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..backend import numpy_alone
from ..options.errors import RunWarning, UserError
from ..options.system import in_words, reader_left
from ..parallel.interrupts import open_closed_streams, to_nowhere
from ..tasks.user_tasks import fault_of_user_task

EXIT_FAILURE = 1
EXIT_MISUSE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
FULL = (errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EDQUOT)  # what the system says where a file takes no more
FOR_JSON: list[TextIO] = []  # where `print_json` prints while stdout is kept for it; the last one counts
WIDTH_IN_A_PIPE = 10_000  # columns: whatever reads a pipe breaks lines by itself, and nothing is cut


def run_command(main: Callable[[], int | None]) -> None:
    """Run a command's `main()` and exit: 0, or what it returned; 1 after a failure, 2 after misuse, 130 after Ctrl-C.

    A `UserError` becomes one line on stderr, and so do errors of the disk, of memory and in a user's own task: they are
    no faults of the program. Every other exception is a bug and keeps its traceback.
    """
    try:
        check_streams()
        check_environment()
        with printed_warnings():
            code = main() or 0
        sys.stdout.flush()
    except UserError as error:
        fail(str(error))
        code = error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = EXIT_INTERRUPTED
    except MemoryError as error:
        code = fail(f"out of memory: {error or 'the machine has no more to give'}")
    except OSError as error:
        code = end_after(error)
    except (Exception, SystemExit) as error:  # a user's task that ends the program is no success
        fault = fault_of_user_task(error)
        if fault is None:
            raise
        code = fail(fault)
    sys.exit(code)


@contextlib.contextmanager
def printed_warnings() -> Iterator[None]:
    """Inside, every `RunWarning` is printed as a line of its own, and other warnings as Python prints them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", RunWarning)
        plain = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, RunWarning):
                warn(str(message))
            else:
                plain(message, category, *where, **more)

        warnings.showwarning = show
        yield


def check_streams() -> None:
    """Raise UserError if stdout is closed. A stdin or stderr that is closed leads to nowhere."""
    closed = sys.stdout is None
    open_closed_streams()
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
    if closed:
        raise UserError("stdout is closed; send it to a file, or to the null device if it is not wanted")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without the character prints "?" instead of failing


def check_environment() -> None:
    """Raise UserError if an environment variable of ours has a value that means nothing."""
    try:
        numpy_alone()
    except ValueError as error:
        raise UserError(str(error)) from error


def end_after(error: OSError) -> int:
    """Say on stderr what the system refused; returns the exit code of a failure."""
    if reader_left(error):  # of our output (`| head`): nothing to say, and nobody to say it to
        leave_output()
        return EXIT_FAILURE
    full_stdout = error.filename is None and error.errno in FULL  # files of our own are named, see `naming`
    return lost_output(error) if full_stdout else fail(in_words(error))


def lost_output(error: OSError, rest: str = "") -> int:
    """Say on stderr why stdout takes no more, and the rest of the sentence; returns the exit code of a failure."""
    if reader_left(error):  # the same words on every system
        error.strerror = os.strerror(errno.EPIPE)
    error.filename = "stdout"
    leave_output()
    return fail("; ".join(filter(None, (in_words(error), rest))))


def leave_output(stream: TextIO | None = None) -> None:
    """Let stdout, or stderr, lead to nowhere: Python would write what is left to it when it ends, and complain."""
    to_nowhere((stream or sys.stdout).fileno())


@contextlib.contextmanager
def only_json(wanted: bool) -> Iterator[None]:
    """Inside, if wanted, stdout is for `print_json` alone: what a user's code prints goes to stderr."""
    if not wanted:
        yield
        return
    with _kept_apart(sys.stdout) as stream, contextlib.redirect_stdout(sys.stderr):
        FOR_JSON.append(stream)
        try:
            yield
        finally:
            FOR_JSON.pop()


def print_json(values: Any) -> None:
    """Print one line of JSON on stdout, at once."""
    print(json.dumps(values), file=FOR_JSON[-1] if FOR_JSON else sys.stdout, flush=True)


@contextlib.contextmanager
def _kept_apart(stream: TextIO) -> Iterator[TextIO]:
    """Another stream to where this one leads. The number of this one leads to stderr meanwhile: the processes that a
    user's code starts print there.
    """
    stream.flush()
    try:
        number, stderr = stream.fileno(), sys.stderr.fileno()
    except (OSError, ValueError):  # no file of the system, as in a notebook
        yield stream
        return
    kept = os.dup(number)
    os.dup2(stderr, number)
    other = os.fdopen(kept, "w", encoding="utf-8")
    try:
        yield other
    finally:
        os.dup2(kept, number)
        with contextlib.suppress(OSError):  # what could not be written has been told
            other.close()


@contextlib.contextmanager
def only_warn(what: str) -> Iterator[None]:
    """Where the disk does not take what is written inside, `what`, warn and go on: the rest is worth having."""
    try:
        yield
    except OSError as error:
        warn(f"{what}: not written: {in_words(error)}")


def fail(sentence: str) -> int:
    """Print `error: <sentence>` on stderr; returns the exit code of a failure."""
    print(f"error: {sentence}", file=sys.stderr)
    return EXIT_FAILURE


def warn(sentence: str) -> None:
    """Print `warning: <sentence>` on stderr, where it is seen even when stdout is piped."""
    print(f"warning: {sentence}", file=sys.stderr, flush=True)


def on_terminal() -> bool:
    """True when a person sees stdout, false when it is piped or written to a file."""
    return sys.stdout is not None and sys.stdout.isatty()  # a program without a console has none


def console() -> Console:
    """A rich console on stdout: colours on a terminal; in a pipe, plain text with room for long lines."""
    return Console(highlight=False, width=None if on_terminal() else WIDTH_IN_A_PIPE)


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Print a name and what there is to say about it, a line each; on a terminal, long lines are broken, never cut."""
    if not on_terminal():
        width = max(len(name) for name, _ in facts)
        print("\n".join(f"{name:<{width}}  {value}" for name, value in facts))
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(Text(name, style="bold"), Text(value))
    console().print(table)


def data_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table with a title and a header; the cells are taken as they are (no markup). Too long a word is broken."""
    frame = box.SIMPLE_HEAD if on_terminal() else box.ASCII2  # what reads a pipe may not know box characters
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=frame)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def as_bytes(count: int) -> str:
    """A number of bytes as people read it: 1,234 -> `1.2 KiB`."""
    unit, name = filesize.pick_unit_and_suffix(count, ["bytes", "KiB", "MiB", "GiB", "TiB"], 1024)
    return f"{count:,} bytes" if unit == 1 else f"{count / unit:.1f} {name}"


def as_share(share: float) -> str:
    """A share of 1 in percent, rounded down to a hundredth: `100.00%` means all, to the last one."""
    return f"{math.floor(1e4 * share + 1e-9) / 100:.2f}%"


def as_duration(seconds: float) -> str:
    """A time span as people read it: `48 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
