"""Wrong backwards for a comparison of gradient checkers: the same inputs and the same faults for each of them.

The faults are those of `gradcheck_suite`, with a softmax of its own, and for every
operation one that overwrites the cotangent it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_arith.gradcheck_suite.mutant import (
    Mutant,
    changed,
    negated,
    one_element_wrong,
    ones_cotangent,
    scaled,
)
from tinygrad_arith.gradcheck_suite.operations import mutants
from tinygrad_arith.ops import OPERATIONS

Arrays = tuple[np.ndarray, ...]
KINDS = ("plain", "a thousandth off", "writes to its cotangent")


@dataclass(frozen=True)
class Problem:
    """One operation at given inputs, as a function of its differentiable inputs alone.

    forward:  forward(*arrays) -> (out, cache)
    backward: the right one, backward(dy, cache) -> a tuple of gradients or one array
    arrays:   float64, random: no parameter at its initial value
    initial:  the same with parameters at their initial ones and zeros, as teaching frameworks check them
    faults:   wrong backwards by description
    """

    name: str
    forward: Callable[..., tuple[np.ndarray, Any]]
    backward: Callable[..., Any]
    arrays: Arrays
    initial: Arrays
    faults: dict[str, Callable[..., Any]]


# Softmax


def softmax_forward(x):  # x (..., C)
    """Softmax of the last axis. Returns y (..., C) and the cache, y itself."""
    weights = np.exp(x - x.max(axis=-1, keepdims=True))  # (..., C)
    y = weights / weights.sum(axis=-1, keepdims=True)  # (..., C)
    return y, y


def softmax_backward(dy, y):  # dy, y (..., C)
    """Returns dx (..., C): y (dy - sum of y dy over the row)."""
    return y * (dy - (y * dy).sum(axis=-1, keepdims=True))  # (..., C)


def _row_sum(dy, y):
    return (y * dy).sum(axis=-1, keepdims=True)  # (..., 1)


def _softmax(formula: Callable[[Any, Any], Any]) -> Mutant:
    return lambda backward, dy, y: formula(dy, y)


SOFTMAX_FAULTS: dict[str, Mutant] = {
    "without the row-sum term": _softmax(lambda dy, y: y * dy),
    "the row-sum term's sign flipped": _softmax(lambda dy, y: y * (dy + _row_sum(dy, y))),
    "without the factor y": _softmax(lambda dy, y: dy - _row_sum(dy, y)),
    "the Jacobian's diagonal only, y (1 - y)": _softmax(lambda dy, y: dy * y * (1 - y)),
    "the mean of the row for its sum": _softmax(lambda dy, y: y * (dy - (y * dy).mean(axis=-1, keepdims=True))),
    "the row sum without y": _softmax(lambda dy, y: y * (dy - dy.sum(axis=-1, keepdims=True))),
    "the row sum without dy": _softmax(lambda dy, y: y * (dy - y.sum(axis=-1, keepdims=True))),
    "the sum over the first axis": _softmax(lambda dy, y: y * (dy - (y * dy).sum(axis=0, keepdims=True))),
    "y squared": _softmax(lambda dy, y: y * softmax_backward(dy, y)),
    "is zero": changed(0, np.zeros_like),
    "wrong sign": negated(),
    "dy not used": ones_cotangent,
    "scaled by 1.001": scaled(),
    "one element scaled by 1.001": one_element_wrong(),
}


def _overwrites_dy(backward, dy, cache):
    """The right gradients, but dy is zeroed on the way out: whoever else needs it gets zeros."""
    gradients = backward(dy, cache)
    gradients = tuple(np.array(g) for g in gradients) if isinstance(gradients, tuple) else np.array(gradients)
    dy[...] = 0.0
    return gradients


# The problems


def problems(seed: int = 0) -> list[Problem]:
    """Seven operations at small asymmetric inputs where every fault gives a wrong gradient."""
    rng = np.random.default_rng(seed)
    normal = rng.normal
    ids = np.array([[0, 5, 5, 2], [5, 6, 0, 1]])
    targets = np.array([[3, -1, 0, 6, 6], [-1, 2, 2, -1, 5]])
    x, weight, bias = normal(size=(2, 3, 8)), normal(size=8), normal(size=8)
    q, k, v = normal(size=(2, 5, 6, 4)), normal(size=(2, 5, 3, 4)), normal(size=(2, 5, 3, 4))
    lengths = {"lengths": np.array([3, 5])}
    softmax_arrays = (normal(size=(2, 5, 7)),)
    return [
        _problem("softmax", softmax_forward, softmax_backward, SOFTMAX_FAULTS, softmax_arrays),
        _operation("layernorm", (x, weight, bias), initial=(x, np.ones(8), np.zeros(8))),
        _operation("attention", (q, k, v), options=lengths),
        _operation("cross_entropy", (normal(size=(2, 5, 7)),), lambda logits: (logits, targets)),
        _operation("embedding", (normal(size=(7, 3)),), lambda table: (ids, table)),
        _operation("gelu", (normal(size=(2, 5, 3)),)),
        _operation("gelu_exact", (normal(size=(2, 5, 3)),)),
    ]


def _operation(name: str, arrays: Arrays, arguments: Callable | None = None, options=None, initial=None) -> Problem:
    operation = OPERATIONS[name]

    def forward(*given):
        return operation.forward(*(arguments(*given) if arguments else given), **(options or {}))

    return _problem(name, forward, operation.backward, mutants(name), arrays, initial)


def _problem(name, forward, backward, mutants: dict[str, Mutant], arrays: Arrays, initial=None) -> Problem:
    named = {**mutants, "dy overwritten": _overwrites_dy}
    faults = {description: _bound(mutant, backward) for description, mutant in named.items()}
    return Problem(name, forward, backward, arrays, initial or arrays, faults)


def _bound(mutant: Mutant, backward: Callable) -> Callable:
    return lambda dy, cache: mutant(backward, dy, cache)


def kind(fault: str) -> str:
    """One of KINDS, by the fault's description."""
    if fault == "dy overwritten":
        return "writes to its cotangent"
    return "a thousandth off" if "1.001" in fault else "plain"


def as_tuple(gradients: Any) -> tuple[np.ndarray, ...]:
    """The gradients as a tuple, also where there is only one."""
    return gradients if isinstance(gradients, tuple) else (gradients,)
