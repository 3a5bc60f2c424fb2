"""Environment variables that choose what computes on the CPU."""

import os

CPU_VARIABLE = "TINYGRAD_ARITH_CPU"


def numpy_alone() -> bool:
    """Whether NumPy is to do without MKL and Numba though they are installed: `TINYGRAD_ARITH_CPU=numpy`.

    Raises ValueError for another value.
    """
    value = os.environ.get(CPU_VARIABLE, "")
    if value not in ("", "numpy"):
        raise ValueError(f"{CPU_VARIABLE}={value}: must be numpy, or not set")
    return value == "numpy"
