"""GEMM by cuBLASLt against float64: every way a matrix may lie, dtypes, precisions, epilogues, in a graph."""

import cupy
import ml_dtypes
import numpy as np
import pytest

from tinygrad_arith.cuda import gemm as gemm_module
from tinygrad_arith.cuda.gemm import GemmError, gemm, gemm_bias, gemm_column_sums
from tinygrad_arith.cuda.graph import GraphedFunction
from tinygrad_arith.cuda.precision import float32_matmul_precision_as

F32, BF16 = np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16)
KINDS = {"float32": (F32, F32), "tf32": (F32, F32), "bfloat16": (BF16, BF16), "bfloat16 to float32": (BF16, F32)}
# of the sum of the absolute products: TF32 keeps 11 bits of each factor
ALLOWED = {"float32": 2e-6, "tf32": 2.5e-3, "bfloat16": 2e-6, "bfloat16 to float32": 2e-6}
WAYS = {
    "as it lies": lambda make, rows, columns: make((rows, columns)),
    "transposed": lambda make, rows, columns: make((columns, rows)).T,
    "columns of a wider one": lambda make, rows, columns: make((rows, columns + 5))[:, 2 : 2 + columns],
    "rows of a wider one": lambda make, rows, columns: make((columns, rows + 3))[:, 1 : 1 + rows].T,
    "no axis contiguous": lambda make, rows, columns: make((2 * rows, 2 * columns))[::2, ::2],
    "repeated": lambda make, rows, columns: cupy.broadcast_to(make((1, columns)), (rows, columns)),
}


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def maker(rng, dtype):
    return lambda shape: cupy.asarray(rng.normal(size=shape).astype(dtype))


def poisoned(shape, dtype):
    return cupy.asarray(np.full(shape, np.nan, dtype))


def exact(*arrays):
    return [cupy.asarray(array, dtype=np.float64) for array in arrays]


def check(kind, out, a, b, before=None, bias=None):
    """out is a @ b (+ before, + bias), to what the kind allows."""
    found, left, right = exact(out, a, b)
    product, size = left @ right, cupy.abs(left) @ cupy.abs(right)
    wanted = product
    for term in (before, bias):
        if term is not None:
            (term,) = exact(term)
            wanted, size = wanted + term, size + cupy.abs(term)
    allowed = ALLOWED[kind] * size
    if out.dtype == BF16:  # 8 bits are kept, also of the product before a bias is added
        allowed += 2.0**-8 * (cupy.abs(wanted) + (0.0 if bias is None else cupy.abs(product)))
    assert bool((cupy.abs(found - wanted) <= allowed).all())


def in_kind(kind):
    return float32_matmul_precision_as("tf32" if kind == "tf32" else "float32")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("left", WAYS)
@pytest.mark.parametrize("right", WAYS)
def test_every_way_to_lie(kind, left, right, rng):
    dtype, out_dtype = KINDS[kind]
    for m, k, n in ((33, 65, 17), (1, 7, 5), (128, 48, 144)):
        a, b = WAYS[left](maker(rng, dtype), m, k), WAYS[right](maker(rng, dtype), k, n)
        for way in ("as it lies", "transposed", "columns of a wider one"):
            out = WAYS[way](lambda shape: poisoned(shape, out_dtype), m, n)
            with in_kind(kind):
                assert gemm(a, b, out) is out
                check(kind, out, a, b)
                before = out.copy()
                gemm(a, b, out, add=True)
            check(kind, out, a, b, before=before)


@pytest.mark.parametrize("kind", KINDS)
def test_many_sizes(kind, rng):
    """Single rows, columns and terms; the sizes of small models; a long sum that is split into parts."""
    dtype, out_dtype = KINDS[kind]
    sizes = [(1, 1, 1), (3, 1, 2), (1, 5, 1), (1216, 48, 144), (1216, 48, 17), (48, 1216, 192), (6144, 128, 7)]
    for m, k, n in [*sizes, (128, 6144, 128), (384, 16384, 1536), (257, 129, 511)]:
        a, b = maker(rng, dtype)((m, k)), maker(rng, dtype)((k, n))
        out = poisoned((m, n), out_dtype)
        with in_kind(kind):
            gemm(a, b, out)
        check(kind, out, a, b)


def test_empty_matrices():
    out = cupy.ones((2, 3), np.float32)
    assert not gemm(cupy.zeros((2, 0), np.float32), cupy.zeros((0, 3), np.float32), out).any()
    assert gemm(cupy.zeros((2, 0), np.float32), cupy.zeros((0, 3), np.float32), out + 1, add=True).all()
    empty = cupy.zeros((0, 3), np.float32)
    assert gemm(cupy.zeros((0, 4), np.float32), cupy.zeros((4, 3), np.float32), empty) is empty


def test_other_dtypes_go_through_cupy(rng):
    a, b, out = maker(rng, np.float64)((5, 6)), maker(rng, np.float64)((6, 4)), cupy.zeros((5, 4))
    np.testing.assert_allclose(gemm(a, b, out).get(), a.get() @ b.get(), rtol=1e-12)


def test_what_does_not_fit_is_refused():
    a = cupy.zeros((2, 3), np.float32)
    for b, out in (((4, 2), (2, 2)), ((3, 2), (2, 3)), ((3,), (2,))):
        with pytest.raises(GemmError, match="one dtype"):
            gemm(a, cupy.zeros(b, np.float32), cupy.zeros(out, np.float32))
    with pytest.raises(GemmError, match="contiguous"):
        gemm(a, cupy.zeros((3, 2), np.float32), cupy.zeros((4, 4), np.float32)[::2, ::2])


@pytest.mark.parametrize("kind", KINDS)
def test_a_bias_in_the_same_kernel(kind, rng):
    dtype, out_dtype = KINDS[kind]
    for m, k, n in ((33, 65, 24), (1216, 48, 144), (1216, 192, 48), (6144, 128, 7)):
        a, b, bias = maker(rng, dtype)((m, k)), maker(rng, dtype)((k, n)), maker(rng, out_dtype)(n)
        out = poisoned((m, n), out_dtype)
        with in_kind(kind):
            if gemm_bias(a, b, out, bias):
                check(kind, out, a, b, bias=bias)
            else:
                assert bool(cupy.isnan(*exact(out)).all())  # nothing was done


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("kind", ["float32", "tf32", "bfloat16 to float32"])
def test_column_sums_beside_the_product(kind, add, rng):
    dtype, _ = KINDS[kind]
    for m, k, n in ((24, 65, 33), (48, 1216, 192), (128, 6144, 8), (384, 16384, 384)):
        a, b = maker(rng, dtype)((k, m)).T, maker(rng, dtype)((k, n))
        out, sums = maker(rng, F32)((m, n)), cupy.full(n, np.nan, np.float32)
        before = out.copy()
        with in_kind(kind):
            done = gemm_column_sums(a, b, out, add, sums)
        if not done:
            assert bool((out == before).all())
            continue
        check(kind, out, a, b, before=before if add else None)
        check(kind, sums[None], cupy.ones((1, k), np.float32), b)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_every_time(kind, rng):
    dtype, out_dtype = KINDS[kind]
    a, b = maker(rng, dtype)((6144, 128)).T, maker(rng, dtype)((6144, 512))
    with in_kind(kind):
        results = [gemm(a, b, cupy.zeros((128, 512), out_dtype)).get() for _ in range(5)]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_gemm_stands_in_a_graph(rng):
    a, b, out = maker(rng, F32)((64, 48)), maker(rng, F32)((48, 96)), cupy.zeros((64, 96), np.float32)
    graphed = GraphedFunction(lambda: gemm(a, b, out, add=True))
    for number in range(1, 6):
        graphed()
        check("float32", out, a, number * b)
    assert graphed.graph is not None
    a *= -1.0  # the graph reads what is there now
    for _ in range(5):
        graphed()
    assert float(cupy.abs(out).max()) < 1e-3


def test_without_the_library_cupy_multiplies_and_says_so(monkeypatch, rng):
    import builtins

    real = builtins.__import__

    def refuse(name, *arguments, **options):
        if name.startswith("nvmath"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    gemm_module.unavailable.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.warns(RuntimeWarning, match="nvmath-python is not installed; pip install"):
        assert gemm_module.unavailable() == "nvmath-python is not installed"
    for kind in KINDS:
        dtype, out_dtype = KINDS[kind]
        a, b, out = maker(rng, dtype)((9, 8)), maker(rng, dtype)((8, 7)), maker(rng, out_dtype)((9, 7))
        before = out.copy()
        check("tf32", gemm(a, b, out, add=True), a, b, before=before)
        assert not gemm_bias(a, b, out, out[0])
    graphed = GraphedFunction(lambda: gemm(a, b, out))
    for _ in range(4):
        graphed()
    assert graphed.graph is None
    assert graphed.reason.startswith("NotImplementedError in gemm.py")
    monkeypatch.undo()
    gemm_module.unavailable.cache_clear()
    assert gemm_module.unavailable() is None
