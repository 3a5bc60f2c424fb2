"""The tests of this folder run once with the compiled passes and once with NumPy's."""

import pytest

from tinygrad_arith.cpu import linear, operations, passes_numpy

PASSES = {"numpy": passes_numpy}
try:
    from tinygrad_arith.cpu import passes_numba

    PASSES["numba"] = passes_numba
except ImportError:
    pass


@pytest.fixture(params=["numpy", "numba"])
def passes(request, monkeypatch):
    """Runs the test with each set of passes."""
    if request.param not in PASSES:
        pytest.skip("Numba is not installed: pip install -e '.[fast]'")
    users = [module for module in vars(operations).values() if hasattr(module, "passes")]
    assert linear in users
    for module in users:
        monkeypatch.setattr(module, "passes", PASSES[request.param])
    return PASSES[request.param]
