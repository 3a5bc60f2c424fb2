"""A reference operation with one slip in its backward, judged by the operation's own checks.

The checks are those of `tests/ops/test_gradients.py`: the cases of `verify.cases` in float64 and, with another seed, in
float32. The differences are computed once a case and kept for all mutants.

The backward, and every helper it runs, is copied into namespaces of its own; the slip goes into the copy. The forward
stays the original even where it shares a helper with the backward. Backwards that have checks of their own (the
`linear_backward` inside `ffn_backward`) are not mutated a second time; nor are `ops/sums.py` and
`ops/float32.py`, which keep digits and change no derivative: `tests/cpu/test_float32_digits.py` asks for the digits.
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from mutations import Mutant, mutants_of

from tinygrad_arith.backend import RandomKey, uniform
from tinygrad_arith.gradcheck_suite.case import Case
from tinygrad_arith.gradcheck_suite.operations import cases
from tinygrad_arith.gradcheck_suite.suite import converted
from tinygrad_arith.ops import OPERATIONS
from tinygrad_arith.verify import GradientCheck

OPS_PACKAGE = "tinygrad_arith.ops."
DIGITS = (OPS_PACKAGE + "sums", OPS_PACKAGE + "float32")


def operation_mutants(name: str) -> list[Mutant]:
    """Every mutant of an operation's backward, and of its helpers' lines that the backward runs in some case."""
    operation, functions = OPERATIONS[name], backward_functions(name)
    executed = executed_lines(name) if len(functions) > 1 else {}
    return [
        mutant
        for function in functions
        for mutant in mutants_of(function, None if function is operation.backward else executed[function])
    ]


def backward_functions(name: str) -> list[types.FunctionType]:
    """The backward and the functions of `ops` that it calls, directly or not, without other operations' pairs."""
    others = {f for o in OPERATIONS.values() for f in (o.forward, o.backward)}
    found: list[Any] = [OPERATIONS[name].backward]
    for function in found:  # grows while it is walked
        for called in _called_names(function.__code__):
            value = function.__globals__.get(called)
            if _is_helper(value) and value not in others and value not in found:
                found.append(value)
    return found


def _is_helper(value: Any) -> bool:
    if not isinstance(value, types.FunctionType) or value.__module__ in DIGITS:
        return False
    return value.__module__.startswith(OPS_PACKAGE)


def _called_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _called_names(constant)


def executed_lines(name: str) -> dict[types.FunctionType, set[int]]:
    """The lines of each function that run when the true backward runs on the operation's cases."""
    functions = {(f.__code__.co_filename, f.__name__): f for f in backward_functions(name)}
    lines: dict[types.FunctionType, set[int]] = {function: set() for function in functions.values()}

    def trace(frame, event, argument):
        function = functions.get((frame.f_code.co_filename, frame.f_code.co_name))
        if function is None:
            return None
        lines[function].add(frame.f_lineno)
        return trace

    runs = [(check, check.arguments.call(check.forward)[1]) for check in operation_checks(name, "float64")]
    before = sys.gettrace()
    try:
        for check, saved in runs:
            cotangent = check.cotangents[0]
            sys.settrace(trace)
            OPERATIONS[name].backward(cotangent, saved)
            sys.settrace(before)
    finally:
        sys.settrace(before)
    return lines


@cache
def operation_checks(name: str, dtype: str) -> tuple[GradientCheck, ...]:
    """The operation's cases, ready to judge any number of backwards; nothing may write to their inputs."""
    operation, seed = OPERATIONS[name], 0 if dtype == "float64" else 1
    checks = []
    own = cases(name, seed, lambda number: RandomKey(number, "gradcheck"))
    for case in (*own, _draw_equal_to_the_rate()) if name == "dropout" else own:
        inputs, options = (converted(given, dtype, "cpu") for given in (case.inputs, case.options))
        for value in (*inputs, *options.values()):
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
        checks.append(GradientCheck(operation.forward, inputs, **case.settings() | {"options": options}))
    return tuple(checks)


def _draw_equal_to_the_rate() -> Case:
    """Dropout keeps an element whose draw equals the rate to the last bit: one in 2**24 by chance, so made here."""
    key, x = RandomKey(3, "gradcheck"), np.random.default_rng(3).normal(size=(2, 5, 3))
    return Case("a draw equal to the rate", (x,), {"rate": float(uniform(key, x.shape)[1, 2, 0]), "key": key})


def _shares_ties_equally(backward: Callable[..., Any]) -> bool:
    """Max: any split of a gradient among ties lies between the one-sided slopes, so differences cannot tell. The
    operation promises equal shares.
    """
    x = np.array([[1.0, 3.0, 3.0], [2.0, -1.0, 0.5]])
    _, saved = OPERATIONS["max"].forward(x, axis=1)
    expected = np.array([[0.0, 0.7, 0.7], [-0.6, 0.0, 0.0]])
    return bool(np.array_equal(backward(np.array([1.4, -0.6]), saved), expected))


def _counts_beyond_float16(backward: Callable[..., Any]) -> bool:
    """Mean: more elements than the largest float16, which a count in that dtype would make infinite."""
    _, saved = OPERATIONS["mean"].forward(np.ones(70_000, np.float16))
    dx = backward(np.float16(7000.0), saved)
    return bool(dx.dtype == np.float16 and np.array_equal(dx, np.full(70_000, np.float16(0.1))))


def _powers_at_the_edges(backward: Callable[..., Any]) -> bool:
    """Power: the slope at 0 and far from it, where there are no differences or only some that are rounded away."""

    def dx(x, exponent):
        return backward(np.ones(1), OPERATIONS["power"].forward(np.array([x]), exponent)[1])[0]

    edges = [dx(0.0, 0), dx(-0.0, 0.5), dx(1e-155, 3), dx(0.0, -1)]
    return bool(np.allclose(edges, [0.0, -np.inf, 3e-310, -np.inf], rtol=1e-6, atol=0.0))


def _elementwise_powers_at_the_edges(backward: Callable[..., Any]) -> bool:
    """Elementwise power: bases of 0 and below, where a difference would leave what can be computed."""
    a = np.array([0.0, 0.0, 0.0, 0.0, -2.0, np.inf])
    b = np.array([0.0, 1.0, 0.5, -1.0, 2.0, 0.0])
    dy = np.array([1.0, -1.0, 1.0, 1.0, 1.0, 1.0])
    da, db = backward(dy, OPERATIONS["elementwise_power"].forward(a, b)[1])
    same = np.array_equal(da, [0.0, -1.0, np.inf, -np.inf, -4.0, 0.0])
    return same and np.array_equal(db, [0.0, 0.0, 0.0, -np.inf, np.nan, np.inf], equal_nan=True)


# What an operation promises where differences cannot tell
PROMISES: dict[str, Callable[[Callable[..., Any]], bool]] = {
    "max": _shares_ties_equally,
    "mean": _counts_beyond_float16,
    "power": _powers_at_the_edges,
    "elementwise_power": _elementwise_powers_at_the_edges,
}


def mutated_backward(name: str, mutant: Mutant | None) -> Callable[..., Any]:
    """The operation's backward with the mutant's source in the place of one function; None: an unchanged copy."""
    functions = backward_functions(name)
    namespaces = {f.__module__: dict(vars(sys.modules[f.__module__])) for f in functions}
    copies: dict[Any, Any] = {}
    for function in functions:
        own = namespaces[function.__module__]
        if mutant and (mutant.module, mutant.function) == (function.__module__, function.__name__):
            exec(compile(mutant.source, f"<mutant of {mutant.function}>", "exec"), own)
            copies[function] = own[mutant.function]
        else:
            copies[function] = types.FunctionType(function.__code__, own, function.__name__, function.__defaults__)
            copies[function].__kwdefaults__ = function.__kwdefaults__
    for own in namespaces.values():
        for global_name, value in list(own.items()):
            if isinstance(value, types.FunctionType) and value in copies:
                own[global_name] = copies[value]
    return copies[functions[0]]


def verdict(name: str, backward: Callable[..., Any]) -> str | None:
    """How the operation's checks reject this backward: "mismatch" or the exception's name; None if they accept it."""
    for dtype in ("float64", "float32"):
        for check in operation_checks(name, dtype):
            try:
                report = check.run(backward, diagnosis=False)
            except Exception as error:
                return type(error).__name__
            if not report.passed:
                return "mismatch"
    return "mismatch" if name in PROMISES and not PROMISES[name](backward) else None


def judge(name: str, mutants: Sequence[Mutant]) -> list[str | None]:
    """The verdict on each mutant, between two proofs that the true backward is accepted."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        _require_accepted(name)
        verdicts = [verdict(name, mutated_backward(name, mutant)) for mutant in mutants]
        _require_accepted(name)
    return verdicts


def _require_accepted(name: str) -> None:
    reason = verdict(name, mutated_backward(name, None))
    if reason is not None:
        raise RuntimeError(f"{name}: the checks reject the true backward ({reason}), so they cannot judge a mutant")
