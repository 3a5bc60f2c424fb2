"""Errors that a device finds while nobody waits for it: raised when the host next waits, or makes its next step.

A GPU that meets a token id outside its table cannot raise. It leaves a note in memory that the host reads without
asking the GPU for anything. Whoever has waited for the device, or begins a step, calls `raise_deferred`.
"""

from collections.abc import Callable

_checks: list[Callable[[], None]] = []


def check_with(check: Callable[[], None]) -> None:
    """From now on `raise_deferred` calls this; it raises if something was found, once, and is cheap if nothing was."""
    _checks.append(check)


def raise_deferred() -> None:
    """Raises what devices have found so far: IndexError for an id outside its table."""
    for check in _checks:
        check()
