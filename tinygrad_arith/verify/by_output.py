"""The gradient of each of several outputs by itself: one that is forgotten may hide beside a far larger one.

With a mean near 1 and a variance near 1e17 in one backward, what the mean adds to the gradient is less than the
rounding of the rest. Under a cotangent that is zero for all outputs but one it is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .probe import Probe
from .survey import Survey

__all__ = ["Asked", "wrong_by_output"]

SEEN = 1e-3  # of the largest entry of an output's own gradient, in float64
ROUNDED = 0.2  # in lower precision: what is forgotten is all of it

Gradients = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Asked:
    """An input: its probe, a survey of all its elements, those that lie at kinks, and is its gradient in float64?"""

    probe: Probe
    survey: Survey
    kinks: set[tuple[int, ...]]
    precise: bool


def wrong_by_output(
    inputs: Sequence[Asked], gradients: Callable[[int], Gradients | None], sizes: Sequence[int]
) -> str | None:
    """What shows that an output's own gradient is wrong; None if nothing does.

    gradients: those by input under the cotangent that is zero but for one output
    sizes:     how many numbers each output has
    """
    ends = np.cumsum(sizes).tolist()
    for number, (size, end) in enumerate(zip(sizes, ends, strict=True)):
        found = gradients(number)
        for asked in inputs:
            if found is None or asked.survey.columns is None:
                continue
            name, cotangent = asked.probe.name, np.zeros_like(asked.probe.cotangent)  # (m,)
            cotangent[end - size : end] = asked.probe.cotangent[end - size : end]
            said = _wrong_one(asked, cotangent, found[name])
            if said:
                return f"of output {number} by itself the gradient of {name}{said}"
    return None


def _wrong_one(asked: Asked, cotangent: np.ndarray, found: np.ndarray) -> str:
    """Where a gradient is not what the differences say, in words; nothing where all are. The one that is farthest off
    is looked at closely before anything is said.
    """
    probe, survey = asked.probe, asked.survey
    assert survey.columns is not None
    answers = found[np.isfinite(probe.values)]  # (n,)
    left_out = survey.suspicious | np.array([index in asked.kinks for index in probe.indices], dtype=bool)  # (n,)
    expected = np.where(left_out, 0.0, np.nan_to_num(cotangent @ survey.columns))  # (n,)
    off = np.where(left_out, 0.0, np.abs(answers - expected))  # (n,)
    allowed = (SEEN if asked.precise else ROUNDED) * float(np.abs(expected).max(initial=0.0))
    if allowed == 0.0 or not (off > allowed).any():
        return ""
    worst = int(np.argmax(off))
    index = probe.indices[worst]
    slope = probe.slope(index, cotangent, allowed / 4)
    if slope.kink is not None or abs(answers[worst] - slope.value) - slope.error <= allowed:
        return ""
    where = f"{list(index)}" if index else ""
    return f"{where} is {answers[worst]:.8g}, where the differences say {slope.value:.8g}: is that output left out?"
