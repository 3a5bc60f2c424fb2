"""Do the answers hold over far smaller steps, too? All elements move at once, so that this costs two points a step.

`x + 1e-12 sin(1e11 x)` is x over the steps of a first look. Its slope is another, and which of the two is meant, the
outputs do not say.
"""

from __future__ import annotations

import numpy as np

from .differences import NOISE_MARGIN
from .probe import Probe

__all__ = ["contradicted_all_at_once"]

SHARES = (2.0**-6, 2.0**-12)  # of the steps before; what lies between the two, such as a kink, is none of the point


def contradicted_all_at_once(probe: Probe, answers: np.ndarray, slack: np.ndarray, steps: np.ndarray) -> bool:
    """Does <answers, step> differ from what the outputs do, over steps in a random direction, at each of two scales?

    answers: of the elements that have a derivative (n,); NaN for those that are not to move
    slack:   how far each answer may be off (n,)
    steps:   at which the slopes of the elements were taken (n,)
    """
    finite = np.isfinite(probe.values)
    rng, away = np.random.default_rng(7), np.zeros(probe.shape)
    signed = rng.uniform(0.5, 1.0, len(steps)) * rng.choice((-1.0, 1.0), len(steps))  # (n,)
    away[finite] = np.where(np.isfinite(answers), steps * signed, 0.0)
    base = np.where(finite, probe.values, 0.0)
    for share in SHARES:
        plus, minus = base + share * away, base - share * away
        ahead, behind = (probe.seen_at(np.where(finite, point, probe.values)) for point in (plus, minus))  # (m,)
        gone = (plus - minus)[finite]  # (n,), as it is in floating-point numbers
        seen = float(probe.cotangent @ (ahead - behind))
        rounding = 2 * NOISE_MARGIN * float(np.abs(probe.cotangent) @ probe.noise)
        allowed = rounding + float(np.abs(gone) @ np.where(np.isfinite(answers), slack, 0.0))
        if not abs(seen - float(gone @ np.nan_to_num(answers))) > 2 * allowed:  # not, if there are no outputs
            return False
    return True
