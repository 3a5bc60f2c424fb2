"""Batched products of small matrices on the GPU, by our own kernel: `cupy.matmul` cannot be captured in a graph."""

from typing import Any

import numpy as np

from ..ops.arithmetic import FactorsCache
from ..ops.registry import Implementation, register
from .elements import BFLOAT16, C_NAMES, DTYPES, FLOAT32, THREADS, quotient
from .source import Build, cupy, strided

LARGEST = 256  # rows, columns and length of the sums, up to which a thread for each number is not wasteful


def build_for(dtype: np.dtype) -> Build:
    """The kernel for arrays of this dtype."""
    return Build("small_matmul.cu", (("ELEMENT", C_NAMES[dtype]),))


def matmul(a: Any, b: Any) -> Any:  # a (N, M, K), b (N, K, L) -> (N, M, L)
    """a[i] @ b[i] for all i; views with any strides are read where they lie."""
    (batch, rows, inner), columns = a.shape, b.shape[2]
    out = cupy.empty((batch, rows, columns), dtype=a.dtype)  # (N, M, L)
    factors = (part for array in (a, b) for part in (strided(array), *steps(array)))
    kernel = build_for(a.dtype).kernel("small_matmul")
    kernel(quotient(out.size, THREADS), THREADS, *factors, out, rows, inner, columns, out.size)
    return out


def steps(array: Any) -> tuple[int, ...]:
    """The array's strides in elements."""
    return tuple(step // array.itemsize for step in array.strides)


def matmul_forward(a, b):
    """See `ops.arithmetic`."""
    return matmul(a, b), FactorsCache(a, b)


def matmul_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.arithmetic`."""
    a, b = cache
    da = matmul(dy, b.swapaxes(1, 2)) if needs[0] else None  # (N, M, K)
    db = matmul(a.swapaxes(1, 2), dy) if needs[1] else None  # (N, K, L)
    return da, db


def accepts(a, b) -> bool:
    """Two batches of as many small matrices."""
    batches = a.ndim == b.ndim == 3 and a.shape[0] == b.shape[0]
    return batches and a.size > 0 and b.size > 0 and max(*a.shape[1:], b.shape[2]) <= LARGEST


register(Implementation("matmul", "batched", "cuda", DTYPES, matmul_forward, matmul_backward, accepts))

BUILDS = (build_for(FLOAT32), build_for(BFLOAT16))
