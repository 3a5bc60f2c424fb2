"""Errors and warnings that are meant for the person at the keyboard."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(Exception):
    """Something the user can put right. Its text is one clear sentence: what is wrong, where, and what is allowed.

    The commands print it as `error: <sentence>` and exit with `exit_code`; a traceback would only hide it.
    """

    exit_code = 1


class MachineError(UserError):
    """What this machine lacks; the same flags may do on another."""


class MisuseError(UserError):
    """What a flag of this very command says wrongly. What is wrong with a run on disk is none."""

    exit_code = 2


class RunWarning(UserWarning):
    """Something that the user may want to know. The commands print it as `warning: <sentence>`."""


def warn(sentence: str) -> None:
    """Tell the user of something that is no error."""
    warnings.warn(sentence, RunWarning, stacklevel=3)


@contextmanager
def as_user_error(start: str = "", also: type[Exception] = ValueError) -> Iterator[None]:
    """Raises UserError, whose sentence begins with `start`, instead of ValueError and of one other type."""
    try:
        yield
    except (ValueError, also) as error:
        said = f"KeyError: {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{start}{said}") from error


@contextmanager
def as_misuse() -> Iterator[None]:
    """Raises MisuseError instead of UserError (but not of MachineError): around what checks this command's flags."""
    try:
        yield
    except MachineError:
        raise
    except UserError as error:
        raise MisuseError(str(error)) from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in an error of the system that names none: that of a full disk, or of a limit, does not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
