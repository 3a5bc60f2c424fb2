"""NumPy or CuPy: told by the array itself, so that one formulation runs on both."""

import sys
from types import ModuleType
from typing import Any

import numpy as np

from .deferred import raise_deferred


def array_module(*arrays: Any) -> ModuleType:
    """`cupy` if any of the arrays lives on a GPU, else `numpy`.

    CuPy is looked up among the loaded modules only: an array of CuPy can exist only if CuPy has been imported.
    """
    cupy = sys.modules.get("cupy")
    if cupy is not None and any(isinstance(array, cupy.ndarray) for array in arrays):
        return cupy
    return np


def to_numpy(array: Any) -> np.ndarray:
    """The array as a NumPy array, copied from the GPU if it lives there.

    The copy waits for the GPU; what that has found in the meantime is raised (`deferred`).
    """
    if array_module(array) is np:
        return np.asarray(array)
    copied = array.get()
    raise_deferred()
    return copied


def on_device_of(array: Any, values: Any) -> Any:
    """`values` where `array` lives: as they are, or copied to the GPU. None stays None."""
    return values if values is None or array_module(array) is np else array_module(array).asarray(values)


def repeat_rows(array: Any, times: int) -> Any:  # (B, ...) -> (B times, ...)
    """Each row so many times, one behind the other; the array itself for once. None stays None."""
    if array is None or times == 1:
        return array
    (rows, *rest), xp = array.shape, array_module(array)
    spread = xp.broadcast_to(array[:, None], (rows, times, *rest))  # (B, times, ...), a view
    return xp.array(spread, order="C").reshape(rows * times, *rest)


def erf(x):
    """The error function, element by element, on the device of `x`."""
    if array_module(x) is np:
        from scipy.special import erf as scipy_erf  # loaded when the exact GELU is used, not at import
    else:
        from cupyx.scipy.special import erf as scipy_erf
    return scipy_erf(x)
