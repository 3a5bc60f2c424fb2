"""Everything in this folder needs a GPU: marked so, and skipped with the reason where there is none."""

import warnings
from pathlib import Path

import pytest


def why_not() -> str | None:
    """What is missing for the tests of this folder, None if nothing is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import cupy
    except ImportError:
        return "CuPy is not installed: pip install -e '.[gpu-cuda13]'"
    try:
        return None if cupy.cuda.runtime.getDeviceCount() else "CUDA finds no GPU"
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CUDA finds no GPU: {error}"


MISSING = why_not()


class SkippedModule(pytest.Module):
    """Stands for a test file that is not even imported, so that it may import CuPy in its first line."""

    def collect(self):
        pytest.skip(MISSING, allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    return SkippedModule.from_parent(parent, path=module_path) if MISSING else None


def pytest_collection_modifyitems(items):
    here = str(Path(__file__).parent)
    for item in () if MISSING else items:  # of all folders
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.gpu)
            # CuPy's own calls of what NumPy has deprecated since are not ours to repair
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))
