"""Which operating system this is, where that matters: asked here, so that a test can answer for another one."""

import errno
import os
import platform
import subprocess
import sys

FULL_ON_WINDOWS = (39, 112, 1295)  # ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL, ERROR_DISK_QUOTA_EXCEEDED
LONGEST_ON_WINDOWS = 259  # characters of a path, unless the system was told to take longer ones


def on_windows() -> bool:
    """Whether this is Windows."""
    return os.name == "nt"


def on_macos() -> bool:
    """Whether this is macOS."""
    return sys.platform == "darwin"


def macos_version() -> str:
    """The version of macOS, such as `15.1`; nothing on other systems."""
    return platform.mac_ver()[0]


def macos_processor() -> str | None:
    """The name of a Mac's processor, such as `Apple M2`: Python knows no more than `arm`. None where it is not told."""
    try:
        told = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.decode("utf-8", errors="replace").strip() or None


def system_error(number: int, said: str) -> OSError:
    """The error of which a library tells the system's number, and what it said.

    Windows has numbers of its own: its 112, a full disk, would be "Host is down" in the table of other systems.
    """
    if not on_windows():
        return OSError(number, os.strerror(number))
    error = OSError(errno.EIO, said, None, number)  # there, Python finds the errno that a number of Windows stands for
    if number in FULL_ON_WINDOWS:
        error.errno = errno.ENOSPC
    return error


def reader_left(error: OSError) -> bool:
    """Whether an output that has no name cannot be written because nobody reads it any more.

    The C library of Windows calls that an invalid argument.
    """
    unnamed = error.filename is None and error.errno == errno.EINVAL
    return isinstance(error, BrokenPipeError) or (on_windows() and unnamed)


def in_words(error: OSError) -> str:
    """`runs/x/metrics.jsonl: No space left on device`; the file where it is known."""
    if not error.filename:
        return str(error)
    length = len(os.path.abspath(error.filename)) if isinstance(error.filename, str) else 0
    too_long = on_windows() and length > LONGEST_ON_WINDOWS
    why = f" ({length} characters; Windows takes {LONGEST_ON_WINDOWS}, unless long paths are switched on)"
    return f"{error.filename}: {error.strerror}{why * too_long}"
