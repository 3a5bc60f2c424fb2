"""A forward that stays where it is around a point, and jumps farther off: a staircase, as `(x + 1e16) - 1e16` is.

Its differences at small steps are zeros that say nothing about the slope that is meant. A relu that is off stays where
it is too; but where its kink comes, it leaves without a jump.
"""

from __future__ import annotations

import numpy as np

from .differences import Line

__all__ = ["jumps_nearby"]

CLOSE = 2.0**-24  # over the distance at which the outputs have changed: how closely the place of the change is found
PART = 1e-3  # of that change, which a jump makes at once


def jumps_nearby(line: Line, cotangent: np.ndarray, step: float) -> bool:
    """Do the outputs stay as they are at `step`, and jump before the line's limit, to one side or the other?"""
    return any(_jumps(line, side, cotangent, step) for side in (1.0, -1.0))


def _jumps(line: Line, side: float, cotangent: np.ndarray, step: float) -> bool:
    """The same to one side: doubles the distance until the outputs change, and halves the interval around the place.
    Outputs that have moved at `step` do not stay, even where both sides are alike, as of x^2 at 0.
    """

    def change(distance: float) -> float:
        with np.errstate(all="ignore"):
            return float(np.abs(cotangent) @ np.abs(line.at(side * distance)[1] - line.here))

    near, far = step, step
    if change(step) != 0.0:
        return False
    while (beyond := change(far)) == 0.0:
        if far >= line.limit:
            return False
        near, far = far, 2 * far
    if not np.isfinite(beyond):  # the domain ends there
        return False
    while far - near > CLOSE * far:
        middle = 0.5 * (near + far)
        near, far = (middle, far) if change(middle) == 0.0 else (near, middle)
    return change(far) > PART * beyond
