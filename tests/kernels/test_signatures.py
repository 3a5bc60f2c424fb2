"""What the launcher reads of a kernel's parameter list."""

import numpy as np
import pytest

from tinygrad_arith.cuda.signatures import kernels_in, parameters_of

TEXT = """
using index = long long;
typedef unsigned char flag;
// __global__ void not_this(int n)
extern "C" __global__ void __launch_bounds__(THREADS, (2))
scale(const element* __restrict__ x,  // (B, T), with a comment
      float* y, index stride, int n, float factor, const flag* mask, COUNT count,
      const __grid_constant__ TileMap map) {}
extern "C" __global__ void nothing() {}
extern "C" __global__ void by_macro(STRIDES(q), int n) {}
"""


def test_reads_names_types_and_aliases():
    parameters = parameters_of([TEXT], "scale", {"element": "float", "COUNT": "long long"})
    assert [parameter.name for parameter in parameters] == ["x", "y", "stride", "n", "factor", "mask", "count", "map"]
    assert [parameter.pointer for parameter in parameters] == [True, True, False, False, False, True, False, False]
    expected = [np.float32, np.float32, np.int64, np.int32, np.float32, np.uint8, np.int64]
    assert [parameter.dtype for parameter in parameters] == [*map(np.dtype, expected), None]


def test_element_is_what_the_build_says():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x, y, *_ = parameters_of([TEXT], "scale", {"element": "__nv_bfloat16"})
    assert (x.dtype, y.dtype) == (np.dtype(bfloat16), np.dtype(np.float32))


def test_finds_the_kernels_in_plain_sight():
    assert list(kernels_in([TEXT])) == ["scale", "nothing", "by_macro"]
    assert parameters_of([TEXT], "nothing", {}) == []


@pytest.mark.parametrize("kernel", ["by_macro", "absent"])
def test_says_when_it_cannot_tell(kernel):
    assert parameters_of([TEXT], kernel, {}) is None
