"""Batches of large matrix products on the GPU, by cuBLASLt in one launch. `batched.py` has those of small matrices."""

import numpy as np

from .precision import float32_products
from .products import MOST_ALIGNMENT, Look, ProductError, layout_of, plan_for
from .source import cupy


def multiply_batches(a, b, out, add=False):  # a (N, M, K), b (N, K, L), out (N, M, L)
    """out[n] = a[n] @ b[n] for all n, or is added to. Returns out. Dtypes as `products.multiply` has them.

    All are views whose matrices BLAS can read where they lie; that of `out` is not transposed. There is no element-less
    array among them, and they are on the current device. Raises ProductError for what does not fit.
    """
    batch, rows, inner = a.shape
    left, right, of_out = (layout_of(array[0]) for array in (a, b, out))
    fits = b.shape[:2] == (batch, inner) and out.shape == (batch, rows, b.shape[2])
    if not fits or left is None or right is None or of_out is None:
        shapes = ", ".join(f"{array.shape} with strides {array.strides}" for array in (a, b, out))
        raise ProductError(f"multiply_batches: a (N, M, K), b (N, K, L), out (N, M, L), readable by BLAS; got {shapes}")
    steps = tuple(array.strides[0] // array.itemsize for array in (a, b, out))
    pointers = a.data.ptr, b.data.ptr, out.data.ptr
    plan = plan_for(
        Look(
            rows=rows,
            inner=inner,
            columns=b.shape[2],
            left=left,
            right=right,
            out=of_out,
            dtype=a.dtype,
            out_dtype=out.dtype,
            precision=float32_products() if a.dtype == np.float32 else "",
            epilogue=None,
            alignments=tuple(map(_alignment, pointers, steps, (a.itemsize, b.itemsize, out.itemsize))),
            device=cupy.cuda.runtime.getDevice(),
            batch=batch,
            steps=steps,
        )
    )
    assert plan is not None  # a product without an epilogue has a plan, or was refused
    plan.run(*pointers, add)
    return out


def _alignment(pointer: int, step: int, itemsize: int) -> int:
    """Of every matrix of a batch, in bytes: the largest power of 2 in the first address and in the way to the next."""
    together = pointer | step * itemsize
    return min(together & -together, MOST_ALIGNMENT)
