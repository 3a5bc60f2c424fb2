"""Checks for code in other forms: a function with a separate vjp, a function of tensors, a scalar loss over a module.

Tensors and modules are taken as they come (duck typing); nothing of the package above is imported.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .arguments import as_names, describe, is_differentiable, to_host
from .check import FIRST_STEP
from .compare import Comparison, compare_elements
from .cotangents import random_signs
from .diagnosis import diagnose
from .evidence import Evidence
from .form import nonfinite_in_words, wrong_form
from .linearity import not_linear
from .probe import Probe
from .report import InputReport, Report
from .tolerances import Tolerance
from .tolerances import tolerance as table_entry
from .vacuous import VacuousCheck, check_allowances, refuse_array, refuse_zero_gradient

__all__ = ["check_module", "from_tensor_function", "from_vjp", "randomize_parameters"]


def from_vjp(f: Callable, vjp: Callable) -> tuple[Callable, Callable]:
    """A (forward, backward) pair from `f(*inputs, **options) -> y` and `vjp(dy, *inputs, **options) -> gradients`."""

    @functools.wraps(f)
    def forward(*inputs, **options):
        return f(*inputs, **options), (inputs, options)

    @functools.wraps(vjp)
    def backward(dy, cache):
        inputs, options = cache
        return vjp(dy, *inputs, **options)

    return forward, backward


def from_tensor_function(f: Callable, tensor: Callable) -> tuple[Callable, Callable]:
    """A (forward, backward) pair from a function of tensors.

    `f` takes tensors where the arrays are floating-point and returns one tensor; `tensor(array, requires_grad=True)`
    makes one. Of a tensor, `.data` (its array), `.backward(dy)` and `.grad` are used. The backward computes `f`
    anew, so that it can be called as often as the check likes.
    """

    def leaves(inputs):
        return [tensor(a, requires_grad=True) if is_differentiable(a) else a for a in inputs]

    @functools.wraps(f)
    def forward(*inputs, **options):
        return np.array(to_host(f(*leaves(inputs), **options).data)), (inputs, options)

    def backward(dy, cache):
        inputs, options = cache
        tensors = leaves(inputs)
        f(*tensors, **options).backward(dy)
        return tuple(leaf.grad for leaf, a in zip(tensors, inputs, strict=True) if is_differentiable(a))

    return forward, backward


def randomize_parameters(module: Any, seed: int = 0, scale: float = 0.5) -> None:
    """Adds normal numbers times `scale` to every parameter of a module, in place.

    At the initial ones and zeros a check would be vacuous.
    """
    rng = np.random.default_rng(seed)
    for _, parameter in _distinct_parameters(module):
        array = _writable(parameter)
        array += scale * rng.standard_normal(array.shape)


def check_module(
    loss_fn: Callable[[Any], Any],
    module: Any,
    *,
    parameters: Collection[str] | None = None,
    samples: int | None = None,
    seed: int = 0,
    eps: float = FIRST_STEP,
    tolerance: Tolerance | None = None,
    zero: Collection[str] = (),
    undecided: Collection[str] = (),
    allow: Collection[str] = (),
    name: str | None = None,
) -> Report:
    """Checks the gradient of a scalar loss by the parameters of a module, in float64.

    Args:
        loss_fn: `loss_fn(module)` returns a tensor of one element, the same one at every call.
        module: has `named_parameters()` (a dict, or pairs), parameters with a writable `.array` (or `.data`) and
            `.grad`, and `zero_gradients()` where gradients accumulate. Parameters are perturbed in place and put back.
        parameters: dotted names of the parameters to check; the default is all that are not `frozen`.
        samples: elements per parameter: the largest of its gradient and random others. None: every element.
        seed: of the scalar cotangent and of the samples.
        eps: the first step of the differences, relative to each element.
        tolerance: default: the table's entry "module".
        zero, undecided, allow: as in `check_gradients`; names are the parameters' dotted names.

    Returns a `Report` with one entry per parameter; raises `GradientMismatch`, `GradientUndecided` and `VacuousCheck`
    as `check_gradients` does.
    """
    zero, undecided, allow = as_names(zero), as_names(undecided), as_names(allow)
    check_allowances(allow)
    chosen = _chosen_parameters(module, parameters, allow)
    name = name or type(module).__name__
    rng = np.random.default_rng(seed)
    cotangent = random_signs(rng, (1,))  # (1,)

    def outputs() -> np.ndarray:
        return np.array(to_host(_loss(loss_fn, module).data), dtype=np.float64).reshape(-1)  # (1,)

    gradients = _backward(loss_fn, module, chosen, cotangent)
    first, second = outputs(), outputs()
    if nonfinite_in_words(first):
        raise VacuousCheck(f"the loss over {name} is {first[0]}, where no difference can be taken")
    if not np.array_equal(first, second):
        raise VacuousCheck(
            f"the loss over {name} differs between two calls ({first[0]}, then {second[0]}): fix its random numbers "
            "and its batch"
        )
    allowed = tolerance or table_entry("module", "float64")
    probes = {key: Probe(key, _writable(parameter), outputs, cotangent, eps) for key, parameter in chosen.items()}
    with np.errstate(all="ignore"):  # a step may leave the loss's domain
        entries = [
            replace(
                _check_parameter(probes[key], gradients[key], allowed, samples, rng, zero, allow, name),
                undecided_is_allowed=key in undecided,
            )
            for key in chosen
        ]

    def under(cotangents: tuple[np.ndarray | None, ...]) -> dict[str, np.ndarray]:
        return _given(_backward(loss_fn, module, chosen, np.asarray(cotangents[0])))

    sound = all(entry.verdict != "wrong" for entry in entries)
    given = _given(gradients)
    dtypes = [gradient.dtype for gradient in given.values()]
    problem = not_linear(under, given, (cotangent,), dtypes, seed) if sound else None
    report = Report(name, tuple(entries), allowed.describe(), seed, problem)
    report.raise_unless_passed()
    return report


def _given(gradients: dict[str, np.ndarray | None]) -> dict[str, np.ndarray]:
    return {key: gradient for key, gradient in gradients.items() if gradient is not None}


def _check_parameter(
    probe: Probe, gradient: Any, tolerance: Tolerance, samples: int | None, rng: np.random.Generator,
    zero: Collection[str], allow: Collection[str], name: str,
) -> InputReport:  # fmt: skip
    """The entry for one parameter."""
    problem = wrong_form(gradient, probe.array, "parameter")
    if problem:
        return InputReport(probe.name, probe.shape, "float64", elements=math.prod(probe.shape), problem=problem)
    comparison = compare_elements(
        probe, gradient, tolerance, "float64", allow, None if samples is None else _sample(gradient, samples, rng)
    )
    if comparison.vanishes and probe.name not in zero:
        refuse_zero_gradient(probe.name, name)
    if comparison.entry.passed:
        return comparison.entry
    return comparison.entry.with_findings(diagnose(_evidence(probe, comparison)))


def _evidence(probe: Probe, comparison: Comparison) -> Evidence:
    return Evidence(
        probe.name, comparison.analytic, comparison.numeric, comparison.wrong, probe.cotangent,
        sampled=not comparison.complete,
        jacobian=probe.jacobian if comparison.complete else None, output_shapes=((1,),),
        sizes={f"the size of axis {axis} of {probe.name}": size for axis, size in enumerate(probe.shape)},
        closeness=1e-5,
    )  # fmt: skip


def _sample(gradient: np.ndarray, samples: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Indices of the largest entries (a quarter of the samples) and of random others."""
    flat = np.abs(gradient).ravel()
    largest = np.argsort(-flat)[: max(1, samples // 4)].tolist()
    others = rng.permutation(flat.size)[: max(0, samples - len(largest))].tolist()
    return [tuple(int(i) for i in np.unravel_index(p, gradient.shape)) for p in sorted({*largest, *others})]


def _backward(
    loss_fn: Callable, module: Any, chosen: Mapping[str, Any], cotangent: np.ndarray
) -> dict[str, np.ndarray | None]:
    """Copies of the parameters' gradients for the cotangent, after the old ones were cleared."""
    if hasattr(module, "zero_gradients"):
        module.zero_gradients()
    else:
        for parameter in chosen.values():
            parameter.grad = None
    loss = _loss(loss_fn, module)
    if math.prod(loss.data.shape) != 1:
        raise ValueError(f"loss_fn must return one number, got shape {tuple(loss.data.shape)}")
    loss.backward(cotangent.reshape(loss.data.shape))
    return {key: None if p.grad is None else np.array(to_host(p.grad), dtype=np.float64) for key, p in chosen.items()}


def _loss(loss_fn: Callable, module: Any) -> Any:
    """The loss, which must be a tensor."""
    loss = loss_fn(module)
    if not hasattr(loss, "data") or not hasattr(loss, "backward"):
        raise TypeError(f"loss_fn must return a tensor with .data and .backward, got {describe(loss)}")
    return loss


def _distinct_parameters(module: Any) -> list[tuple[str, Any]]:
    """(name, parameter), a tied one once, under its first name."""
    named = module.named_parameters()
    pairs = named.items() if isinstance(named, Mapping) else named
    seen: dict[int, str] = {}
    return [(key, p) for key, p in pairs if seen.setdefault(id(p), key) == key]


def _chosen_parameters(module: Any, names: Collection[str] | None, allow: Collection[str]) -> dict[str, Any]:
    """The parameters to check, after the refusal of those at which nothing could show."""
    known = dict(_distinct_parameters(module))
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise ValueError(f"no parameter {', '.join(unknown)}; the module has {', '.join(known)}")
    frozen = {key for key, p in known.items() if getattr(p, "frozen", False)}  # no gradient reaches these
    chosen = {key: p for key, p in known.items() if (key not in frozen if names is None else key in names)}
    for key, parameter in chosen.items():
        array = _writable(parameter)
        if array.dtype != np.float64:
            raise ValueError(
                f"{key} is {array.dtype}: a check by differences needs the module in float64, which "
                'initialize(policy="float64") makes'
            )
        refuse_array(key, to_host(array), {*allow, "equal_axes", "single_element"})
    if not chosen:
        raise VacuousCheck("no gradient to check: the module has no parameters")
    return chosen


def _writable(parameter: Any) -> Any:
    """The parameter's own array, to be perturbed in place."""
    for attribute in ("array", "data"):
        array = getattr(parameter, attribute, None)
        if array is not None and (not isinstance(array, np.ndarray) or array.flags.writeable):
            return array
    raise TypeError(f"a {type(parameter).__name__} has no writable .array or .data to perturb")
