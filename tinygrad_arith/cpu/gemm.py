"""GEMM, matrix products into arrays that exist already: by MKL where it is installed, else by NumPy.

TINYGRAD_ARITH_CPU=numpy, set before the start, does without MKL and Numba though they are installed.
"""

import numpy as np

from ..backend import numpy_alone
from . import mkl

NUMPY_ALONE = numpy_alone()

_sgemm = None if NUMPY_ALONE else mkl.load_sgemm()
_by_mkl = mkl.gemm_by(_sgemm) if _sgemm is not None else None
LIBRARY = "numpy" if _by_mkl is None else "mkl"


def gemm(a, b, out, add=False):  # a (M, K), b (K, N), out (M, N)
    """out = a @ b, or out += a @ b. Returns out."""
    if _by_mkl is not None and _by_mkl(a, b, out, add):
        return out
    if add:
        out += np.matmul(a, b)
        return out
    return np.matmul(a, b, out=out)
