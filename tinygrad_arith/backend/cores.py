"""How many cores there are for this process."""

import math
import os
import sys

from .cgroups import cores_of_quota

CPU_COUNT_VARIABLE = "PYTHON_CPU_COUNT"  # which Python itself obeys from 3.13 on; here every version does


def available_cores() -> int:
    """The cores that this process may use, at least 1.

    Not more than the scheduler gives it (`taskset`, `--cpuset-cpus`), nor than its quota of time (`--cpus` of Docker),
    a fraction of a core rounded up. PYTHON_CPU_COUNT and `-X cpu_count` come before both.
    """
    asked = _asked_for()
    if asked is not None:
        return asked
    cores, quota = _scheduled(), cores_of_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _asked_for() -> int | None:
    """The number that the user has told Python; None if there is none."""
    variable = None if sys.flags.ignore_environment else os.environ.get(CPU_COUNT_VARIABLE)
    asked = sys._xoptions.get("cpu_count", variable)
    return int(asked) if isinstance(asked, str) and asked.isdecimal() and int(asked) else None


def _scheduled() -> int:
    """The cores on which this process may run, or all where the system does not tell."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13 and newer
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
