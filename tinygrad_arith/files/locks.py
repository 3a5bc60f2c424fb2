"""Whether the file system of a directory has locks, which keep a second writer out."""

import errno
import os
from pathlib import Path

from ..options.errors import naming

try:
    import fcntl
except ImportError:  # Windows: locks are the system's own there, on every file system
    fcntl = None  # type: ignore[assignment]

TAKEN = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK}
NO_LOCKS = {
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOLCK,
    errno.EINVAL,
}  # FUSE, NFS without lockd


def why_no_locks(path: Path) -> str | None:
    """Why a lock file, which is made, cannot be locked by anybody; None if it can, be it that somebody has it.

    Libraries answer this each in their own way, and some take it for a lock that another process holds. So the system
    is asked, before them. Raises OSError, which names the file, where it cannot be made.
    """
    if fcntl is None:
        return None
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    try:
        with naming(path):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return error.strerror
        if error.errno not in TAKEN:
            raise
    finally:
        os.close(descriptor)
    return None
