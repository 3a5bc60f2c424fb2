"""Sums at places that repeat, by the way that a GPU goes: here on the CPU, which has another of its own."""

import types

import numpy as np
import pytest

from tinygrad_arith.backend import add_at, ordered_sums

ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed: pip install -e '.[kernels]'")

INDICES = [
    np.array([3, 0, 3, -1]),
    np.array([[0, 1], [0, 0]]),
    np.zeros(0, np.int64),
    (np.array([0, 2, 2]), np.array([4, 1, 1])),
    (slice(None), np.array([1, 1])),
    (Ellipsis, np.array([0, 0])),
    np.random.default_rng(0).random((4, 5, 3)) < 0.5,
    None,
    2,
    slice(0, 2),
]


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """NumPy, but not the module that says that arrays are on the CPU."""
    library = types.ModuleType("library")
    library.__dict__.update(np.__dict__)
    monkeypatch.setattr(ordered_sums, "array_module", lambda array: library)
    monkeypatch.setattr(ordered_sums, "order_of", lambda places, count, xp: np.argsort(places, kind="stable"))


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_every_index_adds_what_numpy_adds(index, as_on_a_gpu):
    rng = np.random.default_rng(1)
    target = rng.normal(size=(4, 5, 3))
    values, expected = rng.normal(size=target[index].shape), target.copy()
    np.add.at(expected, index, values)
    add_at(target, index, values)
    np.testing.assert_allclose(target, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("rows", "columns", "places"), [(1, 1, 1), (7, 3, 2), (1000, 4, 17), (1700, 2, 3), (0, 3, 4)])
def test_runs_of_every_length(rows, columns, places):
    rng = np.random.default_rng(2)
    at, values = rng.integers(0, places + 1, rows), rng.normal(size=(rows, columns))
    expected = np.zeros((places + 1, columns))
    np.add.at(expected, at, values)
    found = ordered_sums.sums_by_place(at, values, places, np)
    np.testing.assert_allclose(found, expected[:places], rtol=1e-12, atol=1e-12)


def test_ids_outside_are_left_out_and_nan_stays_at_its_place(as_on_a_gpu):
    target = np.zeros((4, 2))
    values = np.ones((5, 2))
    values[2] = np.nan
    add_at(target, np.array([0, 4, 2, -5, -1]), values)
    np.testing.assert_array_equal(target[:, 0], [1.0, 0.0, np.nan, 1.0])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_the_number_of_rows_need_not_fit_the_ids(dtype, as_on_a_gpu):
    target, expected = np.zeros((300, 2)), np.zeros((300, 2))
    ids = np.array([0, 100, 99, 5, 5, 5, 126, 1] + ([-1, -128] if dtype.startswith("int") else []), dtype)
    np.add.at(expected, ids, 1.0)
    add_at(target, ids, np.ones((len(ids), 2)))
    np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize("wrong", [np.uint64(2**64 - 1), np.uint64(2**63), np.int64(-301), np.int64(300)])
def test_ids_that_are_no_rows_are_left_out(wrong, as_on_a_gpu):
    target = np.zeros((300, 2))
    add_at(target, np.array([wrong]), np.ones((1, 2)))
    assert not target.any()


@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16])
@pytest.mark.parametrize("way", ["on the CPU", "on a GPU"])
def test_long_sums_in_16_bits_do_not_stop_growing(way, dtype, request):
    if way == "on a GPU":
        request.getfixturevalue("as_on_a_gpu")
    target = np.zeros((3, 1), dtype)
    add_at(target, np.zeros(4096, np.int64), np.ones((4096, 1), dtype))
    assert target[:, 0].tolist() == [4096.0, 0.0, 0.0]
