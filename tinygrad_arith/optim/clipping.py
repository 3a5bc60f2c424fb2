"""Clipping by the global norm.

Pascanu, Mikolov, Bengio: "On the difficulty of training recurrent neural networks", 2013, arXiv 1211.5063, algorithm 1.
"""

from typing import Any

import numpy as np

from ..backend import array_module
from ..nn import FlatParameters
from .checks import require_flat


def gradient_norm(flat: FlatParameters) -> Any:
    """The Euclidean norm of all gradients, () in their dtype, on their device; not finite if they are not.

    Raises ParameterError as `FlatOptimizer.step` does.
    """
    require_flat(flat, "gradient_norm(model.flat)")
    flat.settle()
    gradients = flat.gradients
    xp = array_module(gradients)
    with np.errstate(over="ignore", invalid="ignore"):  # for the caller to notice
        return xp.sqrt(xp.dot(gradients, gradients))  # ()


def clip_scale(norm: Any, max_norm: float) -> Any:
    """What gradients of this norm are to be multiplied with so that it is at most `max_norm` (0: no clipping)."""
    if max_norm <= 0.0:
        return 1.0
    xp = array_module(norm)
    return xp.minimum(max_norm / xp.maximum(norm, 1e-12), 1.0)


def clip_gradient_norm(flat: FlatParameters, max_norm: float) -> Any:
    """Scales all gradients, in place, so that their norm is at most `max_norm` (0: no clipping).

    Returns the norm before clipping. (The trainer leaves the scaling to the optimizer: the `gradient_scale` of `step`.)
    """
    require_flat(flat, "clip_gradient_norm(model.flat, max_norm)")
    norm = gradient_norm(flat)
    flat.gradients *= array_module(norm).asarray(clip_scale(norm, max_norm), dtype=flat.gradients.dtype)
    return norm
