"""The update of SGD on the GPU, one pass over the flat buffers."""

import numpy as np

from .elements import BFLOAT16, C_NAMES, FLOAT32, run_over
from .rates import by_value_or_address
from .source import Build


def build_for(working: np.dtype = FLOAT32) -> Build:
    """The kernel. `working`: the dtype of the copy of the values that a model computes with, if there is one."""
    return Build("sgd.cu", (("OUT", C_NAMES[working]),))


def sgd_update(values, gradients, velocity, decayed, rates, nesterov=False, working=None):
    """See `optim.sgd`; everything is float32.

    rates:   `SGDRates`; rate, kept, fresh and gradient_scale are numbers, or arrays () of float32 on the device that
             the kernel reads when it runs. With a gradient_scale of NaN nothing is changed
    working: a copy of the values in bfloat16 to be written in the same pass, or None
    """
    *changing, momentum, penalty = rates
    numbers = [part for rate in changing for part in by_value_or_address(rate)]
    kernel = build_for(FLOAT32 if working is None else working.dtype).kernel("sgd")
    more = (*numbers, float(momentum), float(penalty), int(nesterov))
    run_over(kernel, (values, gradients, velocity, working), int(decayed), *more)


def accepts(values, gradients, velocity, decayed, rates, nesterov=False, working=None) -> bool:
    """Float32 throughout."""
    return gradients.dtype == FLOAT32 and (velocity is None or velocity.dtype == FLOAT32)


BUILDS = (build_for(), build_for(BFLOAT16))
