"""Checks that could not fail are refused: each refusal says why nothing would be proved, and how to go on."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from .arguments import Arguments, to_host
from .form import nonfinite_in_words
from .probe import COARSE_STEP, FINE_STEP

__all__ = [
    "ALLOWANCES",
    "VacuousCheck",
    "check_allowances",
    "refuse_cotangent",
    "refuse_infinite_inputs",
    "refuse_inputs",
    "refuse_precision",
    "refuse_steps",
    "refuse_undecided",
    "refuse_zero_gradient",
]

ALLOWANCES = {
    "equal_axes": "an input with two axes of the same size",
    "single_element": "an input with one element only",
    "constant_input": "an input whose entries are all equal",
    "equal_cotangent": "a cotangent whose entries are all equal",
    "empty": "an input or output without elements",
    "kinks": "an input most of whose elements lie at kinks",
}


class VacuousCheck(ValueError):
    """The check proves nothing as it was asked for: a wrong backward would pass it too.

    `reason` says why. Where an argument of `check_gradients` lifts the refusal, `setting` names it ("allow", "zero")
    and `value` is what it must hold.
    """

    def __init__(self, reason: str, setting: str | None = None, value: str = ""):
        way_out = f'; if this is meant, say so: {setting}=("{value}",)' if setting else ""
        super().__init__(reason + way_out)
        self.reason, self.setting, self.value = reason, setting, value


def check_allowances(allow: Collection[str]) -> None:
    """ValueError for an unknown name in `allow`."""
    unknown = sorted(set(allow) - set(ALLOWANCES))
    if unknown:
        known = "; ".join(f"{name!r}: {meaning}" for name, meaning in ALLOWANCES.items())
        raise ValueError(f"allow is a collection of the names below, got {', '.join(unknown)}. {known}")


def refuse_inputs(arguments: Arguments, checked: Iterable[int], allow: Collection[str]) -> None:
    """VacuousCheck if the differentiable inputs could hide a wrong gradient: constant, too small, or too alike axes."""
    for position in arguments.differentiable:
        refuse_array(arguments.names[position], to_host(arguments.values[position]), allow)
    if not arguments.differentiable:
        raise VacuousCheck(
            "no gradient to check: none of the inputs is an array of floating-point numbers "
            "(integers become some by x.astype(float))"
        )
    if not list(checked):
        raise VacuousCheck("no gradient to check: wrt is empty")


def refuse_array(name: str, array: np.ndarray, allow: Collection[str]) -> None:
    """VacuousCheck if this input could hide a wrong gradient."""
    shape = tuple(int(size) for size in array.shape)
    large_axes = [size for size in shape if size > 1]
    if array.size == 0:
        if "empty" not in allow:
            _refuse(f"{name} {shape} has no elements, so there is no gradient to compare", "empty")
        return
    if not np.isfinite(array).any() or np.isnan(array).any():
        raise VacuousCheck(f"{name} holds {nonfinite_in_words(array)}: no difference can be taken there")
    if array.size == 1 and shape and "single_element" not in allow:
        _refuse(f"{name} {shape} has one element: an axis mix-up or a missing sum cannot show", "single_element")
    if len(set(large_axes)) < len(large_axes) and "equal_axes" not in allow:
        _refuse(f"{name} {shape} has two axes of the same size: a gradient with them swapped would fit", "equal_axes")
    if array.size > 1 and bool((array == array.flat[0]).all()) and "constant_input" not in allow:
        _refuse(
            f"every entry of {name} is {float(array.flat[0]):g}: a backward that drops or misplaces it would pass "
            "(draw parameters at random instead of leaving them at their initial ones or zeros, as "
            "verify.randomize_parameters does; near a large number a lower precision rounds all entries to one)",
            "constant_input",
        )


def refuse_infinite_inputs(arguments: Arguments) -> None:
    """VacuousCheck if an input holds infinities: they are why the outputs do."""
    for position in arguments.differentiable:
        bad = nonfinite_in_words(arguments.values[position])
        if bad:
            raise VacuousCheck(
                f"{arguments.names[position]} holds {bad}, and so do the outputs: no difference can be taken"
            )


def refuse_cotangent(cotangent: np.ndarray, allow: Collection[str], what: str = "the cotangent") -> None:
    """VacuousCheck for an all-equal cotangent: softmax and layernorm then have a true gradient of exactly zero."""
    if cotangent.size == 0:
        if "empty" not in allow:
            _refuse("the outputs have no elements, so every gradient is zero", "empty")
        return
    if "equal_cotangent" in allow:
        return
    bad = nonfinite_in_words(cotangent)
    if bad:
        raise VacuousCheck(f"{what} holds {bad}")
    if cotangent.size > 1 and bool((cotangent == cotangent.flat[0]).all()):
        _refuse(
            f"every entry of {what} is {float(cotangent.flat[0]):g}: the gradients of softmax and layernorm vanish "
            "then, and wrong ones pass (leave the cotangent out: a random one is drawn)",
            "equal_cotangent",
        )
    if cotangent.size == 1 and float(cotangent.flat[0]) in (0.0, 1.0):
        _refuse(
            f"{what} is {float(cotangent.flat[0]):g}: a backward that never multiplies by it would pass",
            "equal_cotangent",
        )


def refuse_zero_gradient(name: str, function: str) -> None:
    """Always raises: the true gradient of this input is identically zero, and the caller has not said that it is."""
    raise VacuousCheck(
        f"the true gradient of {name} by {function} is zero everywhere (or lost in rounding), "
        "so a backward that forgot it would pass: choose inputs for which it is not",
        "zero",
        name,
    )


def refuse_undecided(name: str) -> None:
    """Always raises: rounding hides all of this gradient, so that a check that allows it proves nothing."""
    raise VacuousCheck(
        f"rounding hides every element of the gradient of {name}, so any backward would pass with undecided={name!r}: "
        "choose outputs without a large offset, or inputs that move them more"
    )


def refuse_kinks(name: str, kinks: int, checked: int) -> None:
    """Always raises: hardly any element of this input has a derivative."""
    _refuse(f"{kinks} of {checked} elements of {name} lie at kinks, where there is no derivative to compare", "kinks")


def refuse_precision(function: str, dtype: object, output: str) -> None:
    """Always raises: the forward returns less than float64, though it is given float64."""
    raise VacuousCheck(
        f"{function} returns {dtype}{output} although it is given float64: differences are lost in its rounding "
        "(compute in the dtype of the inputs; look for astype, np.float32 and arrays made with a dtype)"
    )


def refuse_steps(name: str, stuck: int, asked: int) -> None:
    """Always raises: between this input and the outputs something is of lower precision than float64, or rounds."""
    raise VacuousCheck(
        f"the forward answers in steps: {stuck} of {asked} outputs that a change of {name} by {COARSE_STEP:g} of it "
        f"moves stay the same, to the last bit, under one of {FINE_STEP:g}: something between {name} and the output is "
        "float32 or rounds (look for astype, np.float32 and arrays made with a dtype), so no difference can be trusted"
    )


def _refuse(reason: str, allowance: str) -> None:
    raise VacuousCheck(reason, "allow", allowance)
