"""Clipping by the global norm.

Pascanu, Mikolov, Bengio: "On the difficulty of training recurrent neural networks", 2013, arXiv 1211.5063, algorithm 1.
"""

import math
from typing import Any

import numpy as np

from ..backend import array_module
from ..nn import FlatParameters
from .checks import as_number, require_flat


def gradient_norm(flat: FlatParameters) -> Any:
    """The Euclidean norm of all gradients, () in their dtype, on their device; not finite if they, or it, are not.

    Raises ParameterError as `FlatOptimizer.step` does.
    """
    require_flat(flat, "gradient_norm(model.flat)")
    flat.settle()
    gradients = flat.gradients
    xp = array_module(gradients)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # for the caller to notice
        norm = xp.sqrt(xp.dot(gradients, gradients))  # ()
        if not gradients.size or (xp is np and not np.isinf(norm)):
            return norm
        # The norm may be a number where its square is none. (What lies on a GPU is not looked at: nobody waits for it.)
        largest = xp.abs(gradients).max()  # ()
        scaled = gradients / largest  # (N,)
        return xp.where(xp.isinf(norm) & xp.isfinite(largest), largest * xp.sqrt(xp.dot(scaled, scaled)), norm)[
            ()
        ]  # ()


def clip_scale(norm: Any, max_norm: float) -> Any:
    """What gradients of this norm are to be multiplied with so that it is at most `max_norm` (0: no clipping).

    NaN for a norm that is not finite: 0 would let all gradients vanish unseen. Raises ValueError for a `max_norm` that
    means nothing; infinity never clips.
    """
    most = as_number(max_norm)
    if not most >= 0.0:  # NaN is neither
        raise ValueError(f"clipping: max_norm must be 0 (never) or above, not {max_norm}")
    if most == 0.0:
        return 1.0
    xp = array_module(norm)
    scale = xp.minimum(most / xp.maximum(norm, 1e-12), 1.0)
    return xp.where(xp.isfinite(norm), scale, math.nan)


def clip_gradient_norm(flat: FlatParameters, max_norm: float) -> Any:
    """Scales all gradients, in place, so that their norm is at most `max_norm` (0: no clipping).

    Returns the norm before clipping; raises as `clip_scale` does. (The trainer leaves the scaling to the optimizer: the
    `gradient_scale` of `step`.)
    """
    require_flat(flat, "clip_gradient_norm(model.flat, max_norm)")
    clip_scale(0.0, max_norm)  # its errors first
    norm = gradient_norm(flat)
    flat.gradients *= array_module(norm).asarray(clip_scale(norm, max_norm), dtype=flat.gradients.dtype)
    return norm
