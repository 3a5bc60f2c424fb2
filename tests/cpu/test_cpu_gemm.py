"""GEMM into arrays that are there: by NumPy and by MKL the same, however the arrays lie."""

import ctypes
import importlib.metadata
import itertools

import numpy as np
import pytest

from tinygrad_arith.cpu import gemm as gemm_module
from tinygrad_arith.cpu import mkl
from tinygrad_arith.verify import assert_close, tolerance

SAME = tolerance("reference", "float32")


@pytest.fixture(params=["numpy", "mkl"])
def library(request, monkeypatch):
    """Runs the test with each library."""
    sgemm = mkl.load_sgemm()
    if request.param == "mkl" and sgemm is None:
        pytest.skip("MKL is not installed: pip install -e '.[fast]'")
    monkeypatch.setattr(gemm_module, "_by_mkl", mkl.gemm_by(sgemm) if request.param == "mkl" else None)
    return request.param


LAYOUTS = {
    "by rows": lambda a: a,
    "by columns": np.asfortranarray,
    "rows of a wider array": lambda a: np.concatenate([a, a], axis=1)[:, : a.shape[1]],
    "columns of a taller array": lambda a: np.asfortranarray(np.concatenate([a, a], axis=0))[: a.shape[0]],
    "every second column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "backwards": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "repeated row": lambda a: np.broadcast_to(a[:1], a.shape),
}


INTO = ["by rows", "by columns", "rows of a wider array", "every second column"]


@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("right", LAYOUTS)
def test_every_layout(library, left, right):
    rng = np.random.default_rng(5)
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((6, 5), (5, 7)))
    a, b = LAYOUTS[left](a), LAYOUTS[right](b)
    for into, add in itertools.product(INTO, (False, True)):
        out = LAYOUTS[into](rng.normal(size=(6, 7)).astype(np.float32))
        expected = a.astype(np.float64) @ b + (out if add else 0.0)
        assert gemm_module.gemm(a, b, out, add) is out
        assert_close(out, expected.astype(np.float32), SAME, f"out ({into}, {add=})")


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 9, 1), (9, 1, 9), (0, 3, 2), (3, 0, 2), (3, 2, 0), (300, 200, 100)])
def test_sizes(library, sizes):
    rng = np.random.default_rng(5)
    rows, inner, columns = sizes
    a, b = rng.normal(size=(rows, inner)).astype(np.float32), rng.normal(size=(inner, columns)).astype(np.float32)
    out = np.full((rows, columns), np.nan, dtype=np.float32)
    assert_close(gemm_module.gemm(a, b, out), (a.astype(np.float64) @ b).astype(np.float32), SAME, "out")


def test_other_dtypes_are_not_mistaken_for_float32(library):
    a, b = np.eye(3), np.arange(9.0).reshape(3, 3)
    np.testing.assert_array_equal(gemm_module.gemm(a, b, np.empty((3, 3))), b)


def test_without_the_package_there_is_no_sgemm(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    assert mkl.find_library() is None
    assert mkl.load_sgemm() is None


def test_a_library_that_does_not_load_is_no_error(monkeypatch, tmp_path):
    broken = tmp_path / "libmkl_rt.so.2"
    broken.write_bytes(b"no library")
    monkeypatch.setattr(mkl, "find_library", lambda: str(broken))
    assert mkl.load_sgemm() is None
    monkeypatch.setattr(ctypes, "CDLL", lambda path: object())
    assert mkl.load_sgemm() is None


@pytest.mark.parametrize("name", ["libmkl_rt.so.2", "libmkl_rt.so.3", "libmkl_rt.so", "mkl_rt.2.dll"])
def test_names_of_the_library(name):
    assert mkl.LIBRARY.fullmatch(name)
    assert not mkl.LIBRARY.fullmatch(name.replace("rt", "core"))
