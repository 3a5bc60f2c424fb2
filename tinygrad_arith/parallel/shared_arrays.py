"""Arrays that several processes see: a file that is mapped into memory by each."""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..options.errors import naming

IN_MEMORY = Path("/dev/shm")  # Linux: files that never reach a disk


class SharedArrays:
    """A table of float arrays of one length, (rows, length), mapped from a file of its own. Close it after use."""

    def __init__(self, rows: int, length: int, dtype: Any):
        size = rows * length * np.dtype(dtype).itemsize
        self.folder = _folder_with_room(max(size, 1))
        path = Path(self.folder.name) / "arrays"
        path.touch()
        self.location = (str(path), (rows, length), np.dtype(dtype).str)
        with naming(path):
            self.rows = map_arrays(self.location, "w+")  # (rows, length), zero

    def close(self) -> None:
        """Lets the memory and its file go. Nobody may use the arrays any more."""
        del self.rows
        self.folder.cleanup()


def map_arrays(location: tuple[str, tuple[int, int], str], mode: Any = "r+") -> np.ndarray:
    """The table at a `SharedArrays.location`, in this process: (rows, length)."""
    path, shape, dtype = location
    return np.asarray(np.memmap(path, dtype=dtype, mode=mode, shape=shape))  # plainly an array, over the same memory


def _folder_with_room(size: int) -> tempfile.TemporaryDirectory:
    """A temporary folder, in memory if so many bytes fit there: what is mapped beyond the room would be a crash."""
    if hasattr(os, "posix_fallocate") and os.access(IN_MEMORY, os.W_OK):
        folder = tempfile.TemporaryDirectory(prefix="tinygrad_arith-", dir=IN_MEMORY, ignore_cleanup_errors=True)
        try:
            with open(Path(folder.name) / "arrays", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
            return folder
        except OSError:
            folder.cleanup()
    return tempfile.TemporaryDirectory(prefix="tinygrad_arith-", ignore_cleanup_errors=True)
