"""How the commands of this process are called, so that what they print can be typed again."""

import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .system import on_windows

SPECIAL_ON_WINDOWS = frozenset("&|<>^()%!;,@'`{}#")  # to cmd.exe or PowerShell, outside of double quotes
PROGRAMS: list[Sequence[str]] = []  # that a command was called through; the last one counts
PYTHON: Sequence[str] = ()  # stands there for a program that calls functions instead


@contextmanager
def called_through(program: Sequence[str]) -> Iterator[None]:
    """Inside, a command is called through a program that has all of them: `tinygrad-arith train`."""
    PROGRAMS.append(program)
    try:
        yield
    finally:
        PROGRAMS.pop()


def from_python() -> bool:
    """Whether a program, or a notebook, has called a function, and no command was called."""
    return bool(PROGRAMS) and PROGRAMS[-1] is PYTHON


def command_words(command: str) -> list[str]:
    """The words that call a command, as the user has called this one: `python -m tinygrad_arith.train` if not otherwise
    known.
    """
    return [*PROGRAMS[-1], command] if PROGRAMS and PROGRAMS[-1] else ["python", "-m", f"tinygrad_arith.{command}"]


def as_typed(words: Sequence[str]) -> str:
    """Words as a shell of this system reads them: a POSIX shell or, on Windows, cmd.exe and PowerShell alike."""
    return " ".join(map(quoted_for_windows, words)) if on_windows() else shlex.join(words)


def quoted_for_windows(word: str) -> str:
    """A word, in double quotes where it needs them; neither of the two shells there takes single ones alike."""
    if not SPECIAL_ON_WINDOWS & set(word):
        return subprocess.list2cmdline([word])
    return '"' + subprocess.list2cmdline([f" {word}"])[2:]  # the space makes it quote, and is dropped
