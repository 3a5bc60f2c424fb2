"""Functions that NumPy computes in float32 with an error of several units in the last place."""

import numpy as np

from ..backend import array_module


def exp(x):  # x (...)
    """exp(x) to the last digit: that of NumPy in float32 is off by 2.5 units in the last place."""
    return by_float64(np.exp, x) if array_module(x) is np and x.dtype == np.float32 else array_module(x).exp(x)


def log(x):  # x (...)
    """The natural logarithm to the last digit: that of NumPy in float32 is off by 3 units in the last place."""
    return by_float64(np.log, x) if array_module(x) is np and x.dtype == np.float32 else array_module(x).log(x)


def by_float64(function, x):  # x (...) float32
    """function(x) in float64, rounded to float32; NumPy widens a part at a time, so that no wide array is made."""
    return function(x, dtype=np.float64, out=np.empty_like(x), casting="same_kind")[()]
