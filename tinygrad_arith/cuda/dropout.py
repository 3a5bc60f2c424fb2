"""Dropout on the GPU: one kernel each way, which draws the mask of the CPU, bit for bit, and stores it nowhere."""

import numpy as np

from ..ops.dropout import DropoutCache
from .elements import BFLOAT16, C_NAMES, FLOAT32, contiguous, run_over
from .source import Build, cupy


def build_for(dtype: np.dtype) -> Build:
    """The kernel for arrays of this dtype."""
    return Build("dropout.cu", (("ELEMENT", C_NAMES[dtype]),))


def dropout_forward(x, rate, key):
    """See `ops.dropout`. key.step may be an array () on the device: a captured step reads it there."""
    return masked(x, rate, key), DropoutCache(rate, key)


def dropout_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.dropout`."""
    return (masked(dy, cache.rate, cache.key),)


def masked(x, rate, key):  # x (...)
    """x times the mask of the key, (...)."""
    x = contiguous(x)
    y = cupy.empty_like(x)  # (...)
    on_device = isinstance(key.step, cupy.ndarray)
    step = (0, key.step.astype(np.uint32, copy=False)) if on_device else (key.step, None)
    scale = float(np.float32(1.0) / np.float32(1.0 - rate))  # as float32 divides on the CPU
    run_over(build_for(x.dtype).kernel("dropout"), (x, y), rate, scale, *key.words(), *step, key.site)
    return y


def accepts(x, rate, key) -> bool:
    """A whole array, or the first rows of one: the kernel counts its elements from 0."""
    return key.row == 0


BUILDS = (build_for(FLOAT32), build_for(BFLOAT16))
