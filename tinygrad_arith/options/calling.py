"""How the commands of this process are called, so that what they print can be typed again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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
