"""The devices to compute on: "cpu", whose arrays are NumPy's, and "cuda", whose arrays are CuPy's."""

import importlib
import importlib.metadata
import importlib.util
from functools import cache
from types import ModuleType

import numpy as np

# In double quotes, as here and in other hints, it is typed alike in every shell, cmd.exe among them.
INSTALL = 'pip install -e ".[gpu]" (CUDA 12) or ".[gpu-cuda13]" (CUDA 13), in a checkout'


def library_of(device: str) -> ModuleType:
    """The array library of a device, imported here if it is CuPy.

    Raises ValueError for another device, ImportError with what to install where there is no CuPy.
    """
    if device not in ("cpu", "cuda"):
        raise ValueError(f"no device {device!r}: it must be one of cpu, cuda")
    if device == "cpu":
        return np
    if (twice := installed_twice()) is not None:
        raise ImportError(twice)
    try:
        return importlib.import_module("cupy")
    except ImportError:
        raise ImportError(obstacle_to_cuda()) from None


@cache
def installed_twice() -> str | None:
    """What to do where CuPy is there for several versions of CUDA, as a sentence's second half; None where it is not.

    They are packages that write over each other's files.
    """
    names = {str(one.metadata["Name"]).lower() for one in importlib.metadata.distributions() if one.metadata["Name"]}
    found = sorted(name for name in names if name == "cupy" or name.startswith("cupy-cuda"))
    if len(found) < 2:
        return None
    return f"{' and '.join(found)} are both installed; uninstall both, then install one of them with: {INSTALL}"


def obstacle_to_cuda() -> str | None:
    """Why the GPU cannot be used and what to do about it, as a sentence's second half; None if it can."""
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy is not installed; install it with: {INSTALL}"
    if (twice := installed_twice()) is not None:
        return twice
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        return f"CuPy does not load ({_first_line(error)}); install it again with: {INSTALL}"
    try:
        cupy.zeros(1)
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as error:
        return f"CuPy finds no GPU that it can use ({_first_line(error)}); an NVIDIA GPU with its driver is needed"
    return None


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
