"""The optimizer's update on the GPU, one pass over the flat buffers, and the gradients' norm, which stays there."""

from typing import Any

import numpy as np

from .elements import BFLOAT16, C_NAMES, FLOAT32, is_aligned, pack_of, quotient, run_over
from .rates import by_value_or_address
from .source import Build, cupy

NORM_THREADS = 512  # of a block of the norm's first stage
NORM_BLOCKS = 1024  # of its first stage, at most; its second is one block of as many threads


def build_for(gradients: np.dtype = FLOAT32, working: np.dtype = FLOAT32) -> Build:
    """The kernels. `working`: the dtype of the copy of the values that a model computes with, if there is one."""
    return Build("adamw.cu", (("ELEMENT", C_NAMES[gradients]), ("OUT", C_NAMES[working])))


def adamw_update(values, gradients, first, second, decayed, rates, working=None):
    """See `optim.adamw`; everything is float32.

    rates:   `Rates`, or an array (7,) on the device in their order. Each rate is a number, or an array () of float32 on
             the device that the kernel reads when it runs: a captured step is replayed with other rates. With a
             gradient_scale of NaN nothing is changed
    working: a copy of the values in bfloat16 to be written in the same pass, or None
    """
    beta1, beta2, *_ = rates
    fresh = (1.0 - beta1, 1.0 - beta2)  # in float32 the difference would lose its digits; a float of Python is wider
    numbers = [part for rate in (*rates, *fresh) for part in by_value_or_address(rate)]
    kernel = build_for(working=FLOAT32 if working is None else working.dtype).kernel("adamw")
    run_over(kernel, (values, gradients, first, second, working), int(decayed), *numbers)


def accepts(values, gradients, first, second, decayed, rates, working=None) -> bool:
    """Float32 throughout."""
    return gradients.dtype == first.dtype == second.dtype == FLOAT32


def norm_and_scale(gradients: Any, most: float) -> tuple[Any, Any]:  # gradients (N,)
    """The norm of the gradients, and the factor that makes it at most `most` (0: no clipping): both () float32.

    As `optim.gradient_norm` and `optim.clip_scale`. Always in the same order, and the host learns neither.
    """
    pack, size = pack_of(gradients.dtype), gradients.size
    blocks = max(1, min(quotient(size, NORM_THREADS * pack), NORM_BLOCKS))
    partial = cupy.empty(blocks, dtype=FLOAT32)
    result = cupy.empty(2, dtype=FLOAT32)
    build = build_for(gradients.dtype)
    packs = size // pack if is_aligned(gradients) else 0
    build.kernel("partial_squares")(blocks, NORM_THREADS, gradients, partial, packs, size)
    build.kernel("finish_norm")(1, NORM_BLOCKS, partial, result, blocks, most)
    return result[0], result[1]


def gradient_norm(gradients: Any) -> Any:  # gradients (N,)
    """The norm of the gradients, () float32 on the device."""
    return norm_and_scale(gradients, 0.0)[0]


BUILDS = (build_for(), build_for(BFLOAT16, BFLOAT16))
