"""The package `cuda` needs a name for bfloat16; without it this folder is skipped, with the reason."""

import importlib.util

import pytest

REASON = "ml_dtypes is not installed: pip install -e '.[kernels]'"


class SkippedModule(pytest.Module):
    """Stands for a test file that is not imported."""

    def collect(self):
        pytest.skip(REASON, allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    if importlib.util.find_spec("ml_dtypes") is None:
        return SkippedModule.from_parent(parent, path=module_path)
    return None
