"""A large pass in parts, one a core. For many megabytes only: a smaller pass is done before a thread wakes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from ..backend import available_cores

LEAST_ELEMENTS = 1 << 21  # in float32 8 MiB: more than a core's own cache
CORES = available_cores()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(CORES - 1, "pass")


def in_parts(run: Callable[[int, int], None], length: int, elements: int) -> None:
    """Calls `run(start, stop)` over parts of range(length), side by side where there are `elements` enough.

    The parts must not write to the same place. A part's result does not depend on how many there are.
    """
    parts = CORES if elements >= LEAST_ELEMENTS else 1
    bounds = [(length * part // parts, length * (part + 1) // parts) for part in range(parts)]
    others = [_pool().submit(run, *pair) for pair in bounds[1:]]
    run(*bounds[0])
    for other in others:
        other.result()
