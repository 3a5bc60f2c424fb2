"""Is this backward the derivative of that forward? Gradient checks that a wrong backward does not slip past.

    from tinygrad_arith.verify import check_gradients

    report = check_gradients(layernorm_forward, layernorm_backward, (x, weight, bias))
    print(report)

Full element-wise central differences in float64 under a random cotangent; random projections for large inputs; kinks
are told from faults; checks that could not fail are refused; a wrong gradient is diagnosed. See `check_gradients`.

The library needs NumPy only and nothing else of this package: any pair of functions in the convention
`forward(...) -> (out, cache)`, `backward(dy, cache) -> gradients` can be checked, other forms through the adapters.
"""

from .adapters import check_module, from_tensor_function, from_vjp, randomize_parameters
from .check import GradientCheck, check_gradients
from .differences import Kink
from .evidence import Finding
from .report import GradientFailure, GradientMismatch, GradientUndecided, InputReport, Report
from .testing import assert_close, assert_gradients, rejects_mutants
from .tolerances import TOLERANCES, Tolerance, tolerance
from .vacuous import ALLOWANCES, VacuousCheck

__all__ = [
    "ALLOWANCES",
    "TOLERANCES",
    "Finding",
    "GradientCheck",
    "GradientFailure",
    "GradientMismatch",
    "GradientUndecided",
    "InputReport",
    "Kink",
    "Report",
    "Tolerance",
    "VacuousCheck",
    "assert_close",
    "assert_gradients",
    "check_gradients",
    "check_module",
    "from_tensor_function",
    "from_vjp",
    "randomize_parameters",
    "rejects_mutants",
    "tolerance",
]
