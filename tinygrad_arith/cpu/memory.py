"""Memory reused across steps, by asking the C library's allocator not to give it back.

A training step makes and frees the same large arrays again and again. By default the C library returns such memory to
the system at once, and the next step pays a page fault for every 4 KiB of it again: about half of the time of a NumPy
step at these sizes. Told to keep what was freed, it hands the same pages out again; from the second step on there are
no faults. The reference implementation does not need to know.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # glibc's malloc.h


def keep_freed_memory() -> bool:
    """Keeps freed memory in the process, for good. To be called once, before threads are started.

    Returns whether it took effect: it does with glibc (Linux); elsewhere the allocator stays as it is.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    never_trim = mallopt(M_TRIM_THRESHOLD, -1)
    no_mappings = mallopt(M_MMAP_MAX, 0)  # large arrays come from the heap too, where they are kept
    one_heap = mallopt(M_ARENA_MAX, 1)  # threads share it: what one frees, the other may use
    return bool(never_trim and no_mappings and one_heap)
