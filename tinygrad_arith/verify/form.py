"""What is wrong with what a forward or backward does, before its numbers are compared: missing gradients, wrong shapes
and dtypes, NaN, writing to what it was given, two answers to one question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .arguments import Arguments, describe, is_array, is_array_like, same_bits, to_host

__all__ = ["align", "change_in_words", "nonfinite_in_words", "unsteady", "what_was_written", "wrong_form"]


def align(result: Any, arguments: Arguments) -> tuple[dict[int, Any] | None, str | None]:
    """What a backward returned as gradients by the position of their input, or what is wrong with it. None is accepted
    in the place of an argument that is None.
    """
    gradients = tuple(result) if isinstance(result, tuple | list) else (result,)
    wanted = arguments.differentiable
    names = ", ".join(arguments.names[p] for p in wanted)
    if len(wanted) > 1 and not isinstance(result, tuple | list):
        what, hint = ("None", ": is its return missing?") if result is None else (describe(result), "")
        return None, f"the backward returns {what}, not a tuple of {len(wanted)} gradients ({names}){hint}"
    slots = sorted(wanted + arguments.absent)
    if len(gradients) == len(wanted):
        return dict(zip(wanted, gradients, strict=True)), None
    if len(gradients) == len(slots) and all(
        g is None for p, g in zip(slots, gradients, strict=True) if p not in wanted
    ):
        return {p: g for p, g in zip(slots, gradients, strict=True) if p in wanted}, None
    count = "1 gradient" if len(gradients) == 1 else f"{len(gradients)} gradients"
    return None, f"the backward returns {count} for {len(wanted)} differentiable inputs ({names})"


def wrong_form(gradient: Any, value: Any, what: str = "input") -> str | None:
    """What is wrong with a gradient before its numbers are looked at; `what` it is the gradient of."""
    if gradient is None:
        return "the gradient is missing (None)"
    if not is_array_like(gradient):
        return f"the gradient is {type(gradient).__name__}, not an array"
    if tuple(gradient.shape) != tuple(value.shape):
        return f"the gradient has shape {tuple(gradient.shape)}, the {what} {tuple(value.shape)}"
    if native(gradient.dtype) != native(value.dtype):
        return f"the gradient has dtype {gradient.dtype}, the {what} {value.dtype}"
    bad = nonfinite_in_words(gradient)
    return f"the gradient holds {bad}" if bad else None


def native(dtype: Any) -> Any:
    """The dtype in this machine's order of bytes."""
    return dtype.newbyteorder("=") if isinstance(dtype, np.dtype) else dtype


def what_was_written(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which arrays are no longer what they were, and where; nothing if all are."""
    changed = {name: value for name, value in before.items() if not same_bits(value, now[name])}
    return ", ".join(f"{name} ({change_in_words(value, now[name])})" for name, value in changed.items())


def unsteady(gradients: Mapping[str, tuple[Any, Any]]) -> str | None:
    """A complaint if the backward's answers to the same question, called twice, differ by a bit."""
    differing = [
        f"{name} ({change_in_words(first, second) if is_array(second) else 'then missing'})"
        for name, (first, second) in gradients.items()
        if is_array(first) and not (is_array(second) and same_bits(first, second))
    ]
    if not differing:
        return None
    return (
        "the backward gives another answer when it is called twice with the same cotangent and cache (does it "
        f"write to the cache, or accumulate into a kept array?): gradient of {', '.join(differing)}"
    )


def change_in_words(before: Any, after: Any) -> str:
    """What differs between two arrays: "2 of 15 elements, the first at (0, 3): 0.5, then 0.7"."""
    first, second = to_host(before), to_host(after)
    if first.shape != second.shape or first.dtype != second.dtype:
        return f"{first.dtype} of shape {first.shape}, then {second.dtype} of shape {second.shape}"
    differing = np.argwhere((first != second) & ~((first != first) & (second != second)))
    index = tuple(int(i) for i in differing[0])
    return f"{len(differing)} of {first.size} elements, the first at {index}: {first[index]}, then {second[index]}"


def nonfinite_in_words(array: Any) -> str:
    """What is not a finite number: "2 entries that are NaN or infinite, the first at (0, 3)"; or nothing."""
    bad = ~np.isfinite(to_host(array).astype(np.float64))
    if not bad.any():
        return ""
    first, count = tuple(int(i) for i in np.argwhere(bad)[0]), int(bad.sum())
    return f"{count} {'entry that is' if count == 1 else 'entries that are'} NaN or infinite, the first at {first}"
