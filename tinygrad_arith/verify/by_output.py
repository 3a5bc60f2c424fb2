"""The gradient of each of several outputs by itself: one that is wrong may hide beside a far larger one.

With a mean near 1 and a variance near 1e17 in one backward, what the mean adds to the gradient is less than the
rounding of the rest. Under a cotangent that is zero for all outputs but one it is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .compare import Lost, compare_elements
from .probe import Probe
from .report import InputReport
from .survey import Survey
from .tolerances import Tolerance

__all__ = ["Asked", "by_output"]

ROUNDED = 0.2  # of the largest entry of an output's own gradient, in lower precision: what is forgotten is all of it

Gradients = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Asked:
    """An input: its probe, a survey of all its elements with their steps (n,), those that lie at kinks, what is
    allowed, and is its gradient in float64?
    """

    probe: Probe
    survey: Survey
    steps: np.ndarray
    kinks: set[tuple[int, ...]]
    tolerance: Tolerance
    precise: bool


def by_output(
    inputs: Sequence[Asked],
    gradients: Callable[[int], Gradients | None],
    sizes: Sequence[int],
    lost: Callable[[int, Gradients], Gradients],
) -> tuple[str | None, dict[str, InputReport]]:
    """What shows that an output's own gradient is wrong. Where nothing does: the entries of gradients that are
    undecided for an output by itself, by the name of the input.

    gradients: those by input under the cotangent that is zero but for one output
    sizes:     how many numbers each output has
    lost:      what the backward itself loses of the gradients for one output (see `cancellation.py`)
    """
    ends, undecided = np.cumsum(sizes).tolist(), dict[str, InputReport]()
    for number, (size, end) in enumerate(zip(sizes, ends, strict=True)):
        found = gradients(number)
        for asked in inputs:
            cotangent = np.zeros_like(asked.probe.cotangent)  # (m,)
            cotangent[end - size : end] = asked.probe.cotangent[end - size : end]
            if found is None or asked.survey.columns is None or not cotangent.any():
                continue
            digits = partial(_lost_of, lost, number, found, asked.probe.name)
            entry = (_compared if asked.precise else _forgotten)(asked, cotangent, found[asked.probe.name], digits)
            if entry is not None and entry.verdict == "wrong":
                return f"of output {number} by itself the gradient of {_in_words(entry)}", {}
            if entry is not None and entry.verdict == "undecided":
                undecided[entry.name] = replace(
                    entry, why_undecided=f"of output {number} by itself: {entry.why_undecided}"
                )
    return None, undecided


def _lost_of(lost: Callable[[int, Gradients], Gradients], number: int, found: Gradients, name: str) -> np.ndarray:
    return lost(number, found)[name]


def _in_words(entry: InputReport) -> str:
    where = f"{entry.name}{list(entry.where)}" if entry.where else entry.name
    said = f"{where} is {entry.analytic:.8g}, where the differences say {entry.numeric:.8g}"
    return (
        f"{said}: is that output left out?" if abs(entry.analytic - entry.numeric) > 0.5 * abs(entry.numeric) else said
    )


def _compared(asked: Asked, cotangent: np.ndarray, found: np.ndarray, lost: Lost) -> InputReport | None:
    """All elements, compared as they are under the whole cotangent; None where the first look at them says enough."""
    probe, survey, tolerance = asked.probe, asked.survey, asked.tolerance
    assert survey.columns is not None
    expected = cotangent @ survey.columns  # (n,)
    rounding = (np.abs(cotangent) * probe.noise) @ (survey.columns != 0) / asked.steps  # (n,)
    allowed = tolerance.bound(expected)  # (n,)
    off = np.abs(found[np.isfinite(probe.values)] - expected)  # (n,)
    if (off + rounding <= allowed).all() and not survey.suspicious.any():  # NaN is not
        return None
    under = probe.under(cotangent)
    return compare_elements(under, found, tolerance, "float64", ("kinks",), count_all=False, lost=lost).entry


def _forgotten(asked: Asked, cotangent: np.ndarray, found: np.ndarray, lost: Lost) -> InputReport | None:
    """The element that is farthest off, in lower precision, where it is off by so much that all of an output is
    missing. It is looked at closely before anything is said.
    """
    probe, survey = asked.probe, asked.survey
    assert survey.columns is not None
    answers = found[np.isfinite(probe.values)]  # (n,)
    left_out = survey.suspicious | np.array([index in asked.kinks for index in probe.indices], dtype=bool)  # (n,)
    expected = np.where(left_out, 0.0, np.nan_to_num(cotangent @ survey.columns))  # (n,)
    off = np.where(left_out, 0.0, np.abs(answers - expected))  # (n,)
    allowed = ROUNDED * float(np.abs(expected).max(initial=0.0))
    if allowed == 0.0 or not (off > allowed).any():
        return None
    worst = int(np.argmax(off))
    index, answer = probe.indices[worst], float(answers[worst])
    slope = probe.slope(index, cotangent, allowed / 4)
    if slope.kink is not None or abs(answer - slope.value) - slope.error <= allowed:
        return None
    digits = lost()
    if digits is not None and abs(answer - slope.value) - slope.error <= allowed + digits[index]:
        return None
    return InputReport(probe.name, probe.shape, "", wrong=1, where=index, analytic=answer, numeric=slope.value)
