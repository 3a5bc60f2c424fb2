"""Writing files so that a reader, or a restarted program, finds each one whole or not at all."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..options.errors import naming

TEMPORARY_SUFFIX = ".tmp"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path to write to; when the block ends without an error, the file appears as `path`.

    The file's bytes reach the disk (fsync) before its name does, and the name before this returns, so that a crash at
    any instant leaves the old file, the new one, or a `.tmp` that `remove_temporaries` clears away.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        with naming(path):
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8, newlines as they are) atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically; NaN and infinity are refused (ValueError), since JSON has none."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to the disk, where the operating system offers that (Windows does not)."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_temporaries(directory: Path) -> None:
    """Delete what a killed writer left behind: the `.tmp` files directly in `directory`."""
    for leftover in directory.glob("*" + TEMPORARY_SUFFIX):
        leftover.unlink()
