"""Bringing files to the disk, and renaming and deleting them, on file systems that lack a part of what POSIX promises.

What a file system does not offer is done without; what it refuses is an error that names the file.
"""

import errno
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..options.errors import naming

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# What the system says where it cannot bring something to the disk at all, as PostgreSQL has it for folders; an error
# of the disk itself (EIO, ENOSPC, EDQUOT, ESTALE) is none of them.
NOT_OFFERED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF}
NOT_OPENED = NOT_OFFERED | {errno.EISDIR, errno.EACCES, errno.EPERM}  # of a folder that cannot be opened like a file
NOT_RENAMED = (errno.EXDEV, errno.EBUSY)  # other devices under one folder; a file that is itself mounted
HELD = (5, 32, 33)  # of Windows: access denied, sharing violation, lock violation
PATIENCE = 3.0  # seconds that a program which holds a file, such as a virus scanner, is waited for
FIRST_WAIT, LONGEST_WAIT = 0.01, 0.25  # seconds between two attempts


def bring_to_disk(descriptor: int) -> None:
    """Bring what was written to an open file to the disk.

    On macOS `fsync` stops at the drive's own memory, which a loss of power empties; F_FULLFSYNC goes further.
    """
    if hasattr(fcntl, "F_FULLFSYNC"):
        with suppress(OSError):  # network drives have none; what is wrong with the disk, fsync tells too
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to the disk, where the operating system and the file system offer that."""
    if os.name == "nt":
        return
    with naming(directory):
        try:
            descriptor = os.open(directory, os.O_RDONLY)
        except OSError as error:
            if error.errno in NOT_OPENED:
                return
            raise
        try:
            bring_to_disk(descriptor)
        finally:
            os.close(descriptor)


def replace(source: Path, target: Path) -> None:
    """Give a file the name of another one, which goes. Waits for `PATIENCE` while a program on Windows holds it open.

    Where the file system cannot rename from here to there the file is copied: then a reader may see a part of it.
    Raises OSError, which names `target`.
    """
    try:
        patiently(lambda: os.replace(source, target))
    except OSError as error:
        if error.errno not in NOT_RENAMED:
            error.filename, error.filename2 = str(target), None
            raise
        with naming(target):
            copy_over(source, target)


def copy_over(source: Path, target: Path) -> None:
    """Write what one file holds into another, bring it to the disk, and delete the first."""
    shutil.copyfile(source, target)
    with open(target, "rb+") as file:
        bring_to_disk(file.fileno())
    source.unlink()


def delete(path: Path) -> None:
    """Delete a file, if it is there. Waits for `PATIENCE` while a program on Windows holds it open."""
    patiently(lambda: path.unlink(missing_ok=True))


def patiently(action: Callable[[], Any]) -> None:
    """Do something to a file, again and again while another program holds it on Windows; raises its last error."""
    end, wait = time.monotonic() + PATIENCE, FIRST_WAIT
    while True:
        try:
            action()
            return
        except PermissionError as error:
            if not is_held(error) or time.monotonic() + wait > end:
                raise
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)


def is_held(error: OSError) -> bool:
    """Whether Windows may say this of a file that another program has open; other systems never do."""
    return getattr(error, "winerror", None) in HELD
