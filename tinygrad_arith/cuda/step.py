"""The end of a training step without the host: what was measured is kept on the device, a bad step is held back."""

from typing import Any

import numpy as np

from ..backend import to_numpy
from .source import Build, cupy

STEP = Build("step.cu")
BUILDS = (STEP,)


class Record:
    """Loss and norm of the last steps, and whether one of them was not finite; on the device until somebody reads.

    length: how many steps are kept
    """

    def __init__(self, length: int):
        self.length = length
        self._history = cupy.zeros((length, 2), np.float32)
        self._failed = cupy.zeros((), np.int32)
        self._gradient_scale = cupy.zeros((), np.float32)

    def settle(self, loss: Any, norm: Any, scale: Any, step: Any) -> Any:  # () each; float32, the step uint32
        """Notes a step's loss and the norm of its gradient. Returns what gradients are to be multiplied with, ().

        That is the scale, or NaN, with which the optimizer changes nothing, from the first step on that is not finite.
        """
        kept = self._history, self.length, self._failed, self._gradient_scale
        STEP.kernel("settle_step")(1, 1, loss, norm, scale, step, *kept)
        return self._gradient_scale

    def read(self) -> np.ndarray:
        """(length, 2) loss and norm; row `step % length` is that of a step. Waits for the current stream.

        Raises IndexError for an id that is none, which one of the steps met.
        """
        return to_numpy(self._history)
