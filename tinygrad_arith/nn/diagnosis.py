"""Where a number that is not finite first appeared."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..backend import array_module
from .errors import NotInitialized
from .module import Module, observe_outputs


def first_nonfinite(model: Module, forward: Callable[[], Any] | None = None) -> str | None:
    """Names the first tensor with a NaN or an infinity: a parameter, a module's output, or a gradient.

    forward: runs the model once more, to look at each module's output; left out, outputs are not looked at
    Returns e.g. "the output of blocks.1.ffn", or None if all is finite.
    """
    for name, parameter in model.named_parameters().items():
        if not parameter.initialized:
            raise NotInitialized(model)
        if not _finite(parameter.array):
            return f"parameter {name}"
    if forward is not None:
        bad: list[str] = []
        names = {id(module): name for name, module in model.named_modules().items()}

        def look(module: Module, out: Any) -> None:
            if not bad and not _finite(out.array):
                bad.append(names[id(module)] or "the model")

        with no_grad(), observe_outputs(look), np.errstate(all="ignore"):
            forward()
        if bad:
            return f"the output of {bad[0]}"
    for name, parameter in reversed(model.named_parameters().items()):  # the backward runs from the last to the first
        if parameter.grad is not None and not _finite(parameter.grad):
            return f"the gradient of {name}"
    return None


def _finite(array: Any) -> bool:
    return bool(array_module(array).isfinite(array).all())
