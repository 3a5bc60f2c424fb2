"""For test suites: gradients as one assertion, mutants that must be rejected, arrays compared by the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .arguments import to_host
from .check import GradientCheck, check_gradients
from .report import Report
from .tolerances import Tolerance

__all__ = ["assert_close", "assert_gradients", "rejects_mutants"]

SAME = 1e-12  # a mutant this near to the true gradient, relative to its largest entry, is no fault at these inputs


def assert_gradients(forward: Callable, backward: Callable, inputs: Any, **settings: Any) -> Report:
    """`check_gradients` for pytest: the same arguments; the traceback stops at the caller's line."""
    __tracebackhide__ = True
    return check_gradients(forward, backward, inputs, **settings)


def rejects_mutants(
    forward: Callable, backward: Callable, mutants: Mapping[str, Callable], inputs: Any, **settings: Any
) -> dict[str, bool]:
    """Asserts that the check passes the true backward and rejects every wrong one that differs from it here.

    `mutants` maps a description to `mutant(backward, dy, cache) -> gradients`; `settings` are those of
    `check_gradients`. Returns for each mutant True if it was rejected, False if it gives the true gradients at these
    inputs (a slip in the mask where nothing is masked). A mutant that differs and passes, or that raises, is an
    AssertionError naming it.
    """
    __tracebackhide__ = True
    check = GradientCheck(forward, inputs, **settings)
    truth = check.run(backward)
    truth.raise_unless_passed()
    rejected, faults = {}, []
    for description, mutant in mutants.items():
        try:
            report = check.run(_bound(mutant, backward), diagnosis=False)
        except Exception as error:
            faults.append(f"{description!r} raises {type(error).__name__}: {error}")
            continue
        rejected[description] = not report.passed
        if report.passed and not _same_gradients(check, backward, _bound(mutant, backward), report):
            faults.append(f"{description!r} gives wrong gradients and passes")
    if faults:
        raise AssertionError(f"{check.name}: of {len(mutants)} mutants\n  " + "\n  ".join(faults))
    return rejected


def _bound(mutant: Callable, backward: Callable) -> Callable:
    return lambda dy, cache: mutant(backward, dy, cache)


def _same_gradients(check: GradientCheck, backward: Callable, mutant: Callable, report: Report) -> bool:
    """Do two backwards give the same gradients, up to rounding, but for kinks in the mutant's report?"""
    true, other = check.gradients(backward)[0], check.gradients(mutant)[0]
    if true is None or other is None:
        return False
    unit = np.abs(check.flat_cotangent).max(initial=0.0)  # the scale where the true gradient vanishes
    for entry, (position, gradient) in zip(report.inputs, true.items(), strict=True):
        a, b = to_host(gradient), to_host(other[position])
        scale, difference = np.abs(a).max(initial=0.0), np.array(np.abs(a - b))
        for kink in entry.kinks:
            difference[kink.index] = 0.0
        if difference.max(initial=0.0) > SAME * (scale if scale > SAME * unit else unit):
            return False
    return True


def assert_close(actual: Any, expected: Any, tolerance: Tolerance, name: str = "array", dtype: bool = True) -> None:
    """Asserts the same shape and dtype, finite entries, and values within a tolerance of the table.

    `dtype=False` leaves the dtype out.
    """
    __tracebackhide__ = True
    a, e = to_host(actual), to_host(expected)
    assert a.shape == e.shape, f"{name}: shape {a.shape}, expected {e.shape}"
    assert not dtype or a.dtype == e.dtype, f"{name}: dtype {a.dtype}, expected {e.dtype}"
    wide, true = a.astype(np.float64), e.astype(np.float64)
    assert np.isfinite(true).all(), f"{name}: the expected array holds NaN or infinity"
    assert np.isfinite(wide).all(), f"{name}: {int((~np.isfinite(wide)).sum())} entries are NaN or infinite"
    excess = np.abs(wide - true) - tolerance.bound(true)
    if (excess > 0).any():
        worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(excess)), excess.shape))
        wrong, largest = int((excess > 0).sum()), float(np.abs(true).max())
        raise AssertionError(
            f"{name}: {wrong} of {a.size} entries differ; at {worst} it is {wide[worst]:.10g}, expected "
            f"{true[worst]:.10g} (the largest entry is {largest:.4g}; allowed: {tolerance.describe()})"
        )
