"""Clipping by the global norm. Pascanu, Mikolov, Bengio: "On the difficulty of training RNNs", 2013, algorithm 1."""

from typing import Any

import numpy as np

from ..backend import array_module
from ..nn import FlatParameters


def clip_gradient_norm(flat: FlatParameters, max_norm: float) -> Any:
    """Scales all gradients, in place, so that their Euclidean norm is at most `max_norm` (0: no clipping).

    Returns the norm before clipping, () in the gradients' dtype, on their device.
    """
    xp = array_module(flat.gradients)
    with np.errstate(over="ignore", invalid="ignore"):  # a norm that is not finite is for the caller to notice
        norm = xp.sqrt(xp.dot(flat.gradients, flat.gradients))  # ()
        if max_norm > 0.0:
            flat.gradients *= xp.minimum(max_norm / xp.maximum(norm, 1e-12), 1.0).astype(flat.gradients.dtype)
    return norm
