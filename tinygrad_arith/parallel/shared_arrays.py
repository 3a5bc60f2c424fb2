"""Arrays that several processes see: memory, or a file, that is mapped by each.

On POSIX it has no name: the processes get it as an open file. So nothing is left of it when they have ended, however
they end. Windows can neither hand over an open file nor remove one that is mapped: there it has a name until the end.
"""

import errno
import mmap
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..options.errors import MachineError, warn

IN_MEMORY = Path("/dev/shm")  # Linux: files that never reach a disk; in a container often no more than 64 MB of them
NAMED = os.name == "nt"
CANNOT_RESERVE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # says a file system that has no such call
BLOCK = 1 << 20  # bytes that are written at a time

Location = tuple[int | str, tuple[int, int], str]  # the number of an open file, or a path; the shape; the dtype


class SharedArrays:
    """A table of float arrays of one length, (rows, length), in memory that other processes can map too.

    descriptors: the open files that such a process is to be started with
    location:    what it gives to `map_arrays`

    Close it after use. Raises MachineError where there is no room for it.
    """

    def __init__(self, rows: int, length: int, dtype: Any):
        self.file = file_with_room(max(rows * length * np.dtype(dtype).itemsize, 1))
        self.descriptors = () if NAMED else (self.file.fileno(),)
        where = self.file.name if NAMED else self.file.fileno()
        self.location: Location = (where, (rows, length), np.dtype(dtype).str)
        self.rows = map_arrays(self.location)  # (rows, length), zero

    def close(self) -> None:
        """Lets the memory and its file go. Nobody may use the arrays any more."""
        del self.rows
        discard(self.file)


def map_arrays(location: Location) -> np.ndarray:
    """The table at a `SharedArrays.location`, in this process: (rows, length)."""
    where, shape, dtype = location
    if isinstance(where, int):
        return np.ndarray(shape, dtype, mmap.mmap(where, 0))
    with open(where, "r+b") as file:
        return np.ndarray(shape, dtype, mmap.mmap(file.fileno(), 0))


def file_with_room(size: int) -> IO[bytes]:
    """An open file of so many zero bytes, with room for each: writing to a page without room would end the process.

    Warns if it is on a disk because it found no room in memory. Raises MachineError where there is no room at all.
    """
    refused: list[str] = []
    for folder in folders():
        try:
            file = reserved_file(folder, size)
        except OSError as error:
            refused.append(f"{folder or 'memory'}: {error.strerror or error}")
            continue
        if refused and folder not in (None, IN_MEMORY):
            what = f"{size:,} bytes that the processes of this training share"
            warn(f"the {what} are in a file in {folder}, which may be slower: {'; '.join(refused)}")
        return file
    raise MachineError(
        f"there is no room for the {size:,} bytes that the processes of this training share "
        f"({'; '.join(refused) or 'no folder for temporary files'}); --worker-kind threads does without"
    )


def folders() -> list[Path | None]:
    """Where there may be room, the best first. None stands for memory without a folder, which Linux has."""
    found: list[Path | None] = [None] if hasattr(os, "memfd_create") and not NAMED else []
    if IN_MEMORY.is_dir():
        found.append(IN_MEMORY)
    with suppress(OSError):  # nothing can be written anywhere
        found.append(Path(tempfile.gettempdir()))
    return found


def reserved_file(folder: Path | None, size: int) -> IO[bytes]:
    """A new file of so many zero bytes, with room for each. Raises OSError."""
    file: Any
    if folder is None:
        file = os.fdopen(os.memfd_create("tinygrad_arith"), "w+b")
    elif NAMED:
        file = tempfile.NamedTemporaryFile(prefix="tinygrad_arith-", dir=folder, delete=False)  # noqa: SIM115
    else:
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    try:
        reserve(file, size)
    except BaseException:
        discard(file)
        raise
    return file


def reserve(file: IO[bytes], size: int) -> None:
    """Give an empty file so many zero bytes. Raises OSError where there is no room for them."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in CANNOT_RESERVE:
                raise
    zeros = bytes(min(BLOCK, size))
    for start in range(0, size, BLOCK):
        file.write(zeros[: size - start])
    file.flush()


def discard(file: IO[bytes]) -> None:
    """Close a file and remove its name, if it has one."""
    with suppress(OSError):  # of a full disk, once more
        file.close()
    if NAMED:
        with suppress(OSError):  # somebody has it open or mapped still
            os.unlink(file.name)
