"""Which tensor went wrong first, when a loss or a gradient is not finite."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import array_module


def explain_nonfinite(model: Any, batch: Any, loss: float, norm: float, run_again: Callable[[], Any]) -> str:
    """A sentence naming what is not finite: a parameter, an activation or a gradient, by its dotted name.

    `run_again` repeats the forward and backward, so that the gradients can be looked at before they were clipped.
    """
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {norm}"
    with np.errstate(all="ignore"):
        name = nonfinite_parameter(model) or nonfinite_activation(model, batch)
        if name is None:
            run_again()
            name = nonfinite_gradient(model)
    first = f"the first tensor that is not finite is {name}" if name else "every tensor of the model is finite"
    return f"{what}; {first}. A lower --learning-rate, a longer --warmup or a smaller --clip may help"


def nonfinite_parameter(model: Any) -> str | None:
    """The dotted name of the first parameter with a NaN or infinity in it."""
    return next((name for name, p in model.named_parameters().items() if not all_finite(p.data)), None)


def nonfinite_activation(model: Any, batch: Any) -> str | None:
    """The dotted name of the first module, in the order of the forward, whose output is not finite."""
    from ..nn import first_nonfinite

    return first_nonfinite(model, batch.tokens)


def nonfinite_gradient(model: Any) -> str | None:
    """The dotted name of the first parameter, in the order of the backward, whose gradient is not finite."""
    for name, parameter in reversed(list(model.named_parameters().items())):
        if parameter.grad is not None and not all_finite(parameter.grad):
            return f"the gradient of {name}"
    return None


def all_finite(array: Any) -> bool:
    """Whether no element is NaN or infinite."""
    return bool(array_module(array).isfinite(array).all())
