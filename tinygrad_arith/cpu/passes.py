"""The passes that run: Numba's where it is installed and works, else NumPy's. Both have the same functions."""

import importlib.util
from typing import Any

from ..options.errors import warn
from . import passes_numpy
from .gemm import NUMPY_ALONE


def choose_passes() -> tuple[str, Any]:
    """The name of the library, and the module. Warns where Numba is installed but cannot be used."""
    if NUMPY_ALONE or importlib.util.find_spec("numba") is None:
        return "numpy", passes_numpy
    try:
        from . import passes_numba
    except Exception as error:  # ImportError of another NumPy than it knows, OSError of its LLVM, whatever else
        said = str(error).strip().partition("\n")[0]
        reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
        warn(f"Numba is installed but cannot be used ({reason}), so NumPy does its work, more slowly")
        return "numpy", passes_numpy
    return "numba", passes_numba


LIBRARY, passes = choose_passes()
