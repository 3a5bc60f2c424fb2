"""The table of tolerances, and comparison by it."""

import numpy as np
import pytest

from tinygrad_arith.verify import TOLERANCES, assert_close, tolerance

EXPECTED = np.array([[1.0, -2.0, 1e-6], [0.5, 0.0, 3.0]])


def test_every_entry_has_a_reason():
    assert all(len(entry.reason) > 20 and entry.largest > 0 for entry in TOLERANCES.values())


def test_lookup():
    assert tolerance("torch", np.float64).largest == 1e-10
    assert tolerance("kv_cache", np.dtype("float64")) is TOLERANCES["kv_cache/float64/cpu"]
    assert tolerance("differences", "float64", "cuda") is tolerance("differences", "float64")
    with pytest.raises(KeyError, match="no tolerance for torch/float8/cpu"):
        tolerance("torch", "float8")


def test_bound_is_element_wise():
    bound = tolerance("differences", "float64").bound(EXPECTED)
    assert bound.shape == EXPECTED.shape
    assert bound[0, 2] < bound[1, 2]
    assert (bound < 5e-4 * 3).all()


@pytest.mark.parametrize(
    ("actual", "said"),
    [
        (EXPECTED + 1e-9, "6 of 6 entries differ"),
        (EXPECTED.T, "shape"),
        (EXPECTED.astype(np.float32), "dtype"),
        (np.where(EXPECTED == 0, np.nan, EXPECTED), "NaN"),
    ],
)
def test_assert_close_rejects(actual, said):
    with pytest.raises(AssertionError, match=said):
        assert_close(actual, EXPECTED, tolerance("torch"))


def test_assert_close_accepts():
    assert_close(EXPECTED * (1 + 1e-12), EXPECTED, tolerance("torch"))
    assert_close(np.zeros(3), np.zeros(3), tolerance("torch"))
