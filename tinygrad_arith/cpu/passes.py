"""The passes that run: Numba's where it is installed, else NumPy's. Both have the same functions."""

from typing import Any

from . import passes_numpy
from .gemm import NUMPY_ALONE


def choose_passes() -> tuple[str, Any]:
    """The name of the library, and the module."""
    if NUMPY_ALONE:
        return "numpy", passes_numpy
    try:
        from . import passes_numba
    except ImportError:
        return "numpy", passes_numpy
    return "numba", passes_numba


LIBRARY, passes = choose_passes()
