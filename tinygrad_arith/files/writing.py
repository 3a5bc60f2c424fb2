"""Writing files so that a reader, or a restarted program, finds each one whole or not at all."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..options.errors import UserError, naming, warn
from ..options.system import in_words
from .durability import bring_to_disk, delete, replace, sync_directory

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
                bring_to_disk(file.fileno())
            replace(temporary, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(path)  # the name that people know
        with suppress(OSError):  # what went wrong first is to be told
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


class Replacement:
    """Files of a directory that replace others together: written under temporary names, and renamed when all are whole.

        with Replacement(directory) as files:
            files.path("weights").write_bytes(...)
            files.write_json("config.json", ...)    # what makes the others a whole: last
            files.remove(["weights of before"])

    Where the block raises, the directory stays as it was. At its end the old files go, the last one first, and the new
    ones take their names in order: whoever is killed there leaves a part without the last file, and never a mixture.
    A single new file takes the place of the old one at once.

    Raises UserError where a file or a directory stands in the way.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self._new: list[str] = []
        self._obsolete: list[str] = []

    def path(self, name: str) -> Path:
        """Where to write the file that will have this name."""
        if (self.directory / name).is_dir():
            raise UserError(f"{self.directory / name}: there is a directory of that name")
        self._new.append(name)
        return self._temporary(name)

    def write_json(self, name: str, value: Any) -> None:
        """As the function of that name."""
        self.path(name).write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", "utf-8", newline="\n")

    def remove(self, names: Iterable[str]) -> None:
        """Says that files are to go when the new ones come, those of the new names excepted."""
        self._obsolete += names

    def _temporary(self, name: str) -> Path:
        return self.directory / (name + TEMPORARY_SUFFIX)

    def __enter__(self) -> "Replacement":
        self._made = not self.directory.exists()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise UserError(f"{self.directory}: there is a file of that name, or above it") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(self._temporary(self._new[-1]) if self._new else self.directory)
        try:
            if error is None:
                for name in self._new:
                    with naming(self.directory / name), open(self._temporary(name), "rb+") as file:
                        bring_to_disk(file.fileno())
        except BaseException:
            self._clear_away()
            raise
        if error is not None:
            self._clear_away()
            return
        self._swap()
        sync_directory(self.directory)

    def _clear_away(self) -> None:
        with suppress(OSError):  # what went wrong first is to be told
            for name in self._new:
                self._temporary(name).unlink(missing_ok=True)
            if self._made:
                self.directory.rmdir()

    def _swap(self) -> None:
        kept = {*self._new, *(self._temporary(name).name for name in self._new)}
        obsolete = [name for name in self._obsolete if name not in kept]
        several = len(self._new) > 1
        for name in [*reversed(self._new), *obsolete] if several else []:
            delete(self.directory / name)
        for name in self._new:
            replace(self._temporary(name), self.directory / name)
        for name in obsolete:
            delete(self.directory / name)


def remove_temporaries(directory: Path) -> None:
    """Delete what a killed writer left behind: the `.tmp` files directly in `directory`. Warns of one that stays."""
    for leftover in directory.glob("*" + TEMPORARY_SUFFIX):
        try_to_delete(leftover)


def try_to_delete(path: Path) -> bool:
    """Delete a file that is not needed any more; whether it is gone. Warns of one that cannot be deleted now, because
    another program has it open (Windows), or the file system will not.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        warn(f"{in_words(error)}; not needed any more, and not deleted yet")
        return False
    return True
