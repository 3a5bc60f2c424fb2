"""Whether everybody computes the same step, before anything is timed.

In float32 ours and PyTorch's gradients must agree. In TF32 and bfloat16 rounding is part of the game: there our error,
against those float32 gradients, may be at most a few times that of PyTorch in the same precision. Then the losses of
the first steps, which go through clipping and the optimizer, must stay together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

EXACT = 1e-4  # of the norm of a parameter's gradient
LEAST_ROUNDING = 1e-5  # of that norm, in whatever precision
TIMES_RIVAL = 3.0
LOSS_BANDS = {"float32": 1e-4, "tf32": 2e-3, "bfloat16": 1e-2}  # as a share of the loss


class Disagreement(AssertionError):
    """A contestant computes something else; its times would mean nothing."""


def distances(gradients: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> dict[str, float]:
    """For each parameter the norm of the difference over that of the reference. Raises Disagreement."""
    if gradients.keys() != reference.keys():
        raise Disagreement(f"other parameters: {sorted(gradients.keys() ^ reference.keys())}")
    found = {}
    for name, right in reference.items():
        difference = np.linalg.norm(gradients[name].astype(np.float64) - right)
        distance = float(difference / max(np.linalg.norm(right.astype(np.float64)), 1e-12))
        found[name] = distance if math.isfinite(distance) else math.inf  # so that a NaN is the largest of them
    return found


def check_exact(ours: tuple, theirs: tuple) -> float:
    """(loss, gradients) of both in float32: the largest distance. Raises Disagreement."""
    if not abs(ours[0] - theirs[0]) <= EXACT * abs(theirs[0]):
        raise Disagreement(f"float32 loss {ours[0]}, PyTorch's is {theirs[0]}")
    found = distances(ours[1], theirs[1])
    worst = max(found, key=lambda name: found[name])
    if not found[worst] <= EXACT:
        raise Disagreement(f"float32 gradient of {worst} is off by {found[worst]:.2e} of its norm")
    return found[worst]


def check_rounded(ours: tuple, theirs: tuple, reference: tuple) -> float:
    """(loss, gradients) of both in a lower precision: our largest distance over theirs. Raises Disagreement."""
    mine, other = distances(ours[1], reference[1]), distances(theirs[1], reference[1])
    least = max(float(np.median(list(other.values()))), LEAST_ROUNDING)
    ratios = {name: mine[name] / max(other[name], least) for name in mine}
    worst = max(ratios, key=lambda name: ratios[name])
    if not ratios[worst] <= TIMES_RIVAL:
        raise Disagreement(
            f"gradient of {worst} is off by {mine[worst]:.2e} of its norm, PyTorch's by {other[worst]:.2e}"
        )
    return ratios[worst]


def check_losses(name: str, losses: list[float], ours: list[float], precision: str) -> None:
    """The losses of the first steps. Raises Disagreement."""
    band = LOSS_BANDS[precision]
    if not all(abs(a - b) <= band * abs(b) for a, b in zip(losses, ours, strict=True)):
        raise Disagreement(f"{name}: the losses of the first steps leave ours by more than {band}: {losses} and {ours}")
