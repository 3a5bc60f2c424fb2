"""GEMM on the GPU: what cuBLASLt is told describes the very matrices, however they lie. Needs no GPU."""

import ml_dtypes
import numpy as np
import pytest

from tinygrad_arith.cuda.gemm import GemmProblem, Layout, column_major, layout_of

WAYS = {
    "as it lies": lambda make, rows, columns: make((rows, columns)),
    "transposed": lambda make, rows, columns: make((columns, rows)).T,
    "columns of a wider one": lambda make, rows, columns: make((rows, columns + 5))[:, 2 : 2 + columns],
    "rows of a wider one": lambda make, rows, columns: make((columns, rows + 3))[:, 1 : 1 + rows].T,
    "every second row": lambda make, rows, columns: make((2 * rows, columns))[::2],
}
SIZES = [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 6), (6, 1, 1), (1, 7, 1), (1, 1, 1)]


def described(array, matrix):
    """The matrix that cuBLASLt would read: it counts down the columns from the array's first element."""
    size = array.itemsize
    strides = (size, matrix.leading * size)
    read = np.lib.stride_tricks.as_strided(array, (matrix.rows, matrix.columns), strides, writeable=False)
    return read.T if matrix.transposed else read


def problem_of(a, b, out):
    sizes = {"rows": a.shape[0], "inner": a.shape[1], "columns": b.shape[1]}
    kinds = {"dtype": a.dtype, "out_dtype": out.dtype, "precision": "float32", "epilogue": None}
    layouts = {"left": layout_of(a), "right": layout_of(b), "out": layout_of(out)}
    return GemmProblem(**sizes, **layouts, **kinds, alignments=(16, 16, 16), device=0)


@pytest.mark.parametrize("left", WAYS)
@pytest.mark.parametrize("right", WAYS)
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_the_library_sees_the_transposed_product(left, right, dtype, rng):
    def make(shape):
        return rng.integers(-9, 9, shape).astype(dtype)

    for m, k, n in SIZES:
        a, b = WAYS[left](make, m, k), WAYS[right](make, k, n)
        for way in ("as it lies", "columns of a wider one", "every second row"):
            out = WAYS[way](make, m, n)
            first, second, result = column_major(problem_of(a, b, out))
            assert all(matrix.leading >= matrix.rows for matrix in (first, second, result))
            np.testing.assert_array_equal(described(b, first), b.T)
            np.testing.assert_array_equal(described(a, second), a.T)
            np.testing.assert_array_equal(described(out, result), out.T)


def test_what_blas_cannot_read():
    x = np.zeros((6, 8), np.float32)
    for array in (x[:, ::2], x[::2, ::3], x[:, ::-1], x[::-1], np.broadcast_to(x[:1], (5, 8))):
        assert layout_of(array) is None


def test_an_axis_of_one_may_have_any_stride():
    x = np.zeros((4, 6), np.float32)
    assert layout_of(x[:1]) == Layout(False, 6)
    assert layout_of(x[:1, ::2]) == Layout(True, 2)
    assert layout_of(x[:, :1]) == Layout(False, 6)
    assert layout_of(x[::2, 3:4]) == Layout(False, 12)


@pytest.fixture
def rng():
    return np.random.default_rng(4)
