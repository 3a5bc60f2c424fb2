"""The update of Lion on the GPU, one pass over the flat buffers."""

import numpy as np

from .elements import BFLOAT16, C_NAMES, FLOAT32, run_over
from .rates import by_value_or_address
from .source import Build


def build_for(working: np.dtype = FLOAT32) -> Build:
    """The kernel. `working`: the dtype of the copy of the values that a model computes with, if there is one."""
    return Build("lion.cu", (("OUT", C_NAMES[working]),))


def lion_update(values, gradients, first, decayed, rates, working=None):
    """See `optim.lion`; everything is float32.

    rates:   `LionRates`; rate, kept and gradient_scale are numbers, or arrays () of float32 on the device that the
             kernel reads when it runs. With a gradient_scale of NaN nothing is changed
    working: a copy of the values in bfloat16 to be written in the same pass, or None
    """
    *changing, beta1, beta2 = rates
    fresh = (1.0 - beta1, 1.0 - beta2)  # in float32 the difference would lose its digits; a float of Python is wider
    numbers = [part for rate in changing for part in by_value_or_address(rate)]
    kernel = build_for(FLOAT32 if working is None else working.dtype).kernel("lion")
    run_over(kernel, (values, gradients, first, working), int(decayed), *numbers, beta1, beta2, *fresh)


def accepts(values, gradients, first, decayed, rates, working=None) -> bool:
    """Float32 throughout."""
    return gradients.dtype == first.dtype == FLOAT32


BUILDS = (build_for(), build_for(BFLOAT16))
