"""Batched GEMM of large matrices on the GPU, by cuBLASLt in one launch. `small_matmul.py` has batches of small ones."""

from .gemm import GemmError, layout_of, plan_for, problem_of


def gemm_batched(a, b, out, add=False):  # a (N, M, K), b (N, K, L), out (N, M, L)
    """out[n] = a[n] @ b[n] for all n, or out[n] += a[n] @ b[n]. Returns out. Dtypes as in `gemm.gemm`.

    BLAS must be able to read every matrix where it lies, and those of `out` must not be transposed. No array may be
    empty, and all must be on the current device. Raises GemmError for shapes or strides that do not fit.
    """
    batch, rows, inner = a.shape
    matrices = a[0], b[0], out[0]
    left, right, of_out = map(layout_of, matrices)
    fits = b.shape[:2] == (batch, inner) and out.shape == (batch, rows, b.shape[2])
    if not fits or left is None or right is None or of_out is None:
        shapes = ", ".join(f"{array.shape} with strides {array.strides}" for array in (a, b, out))
        raise GemmError(f"gemm_batched: a (N, M, K), b (N, K, L), out (N, M, L), readable by BLAS; got {shapes}")
    steps = tuple(array.strides[0] // array.itemsize for array in (a, b, out))
    pointers = a.data.ptr, b.data.ptr, out.data.ptr
    plan = plan_for(problem_of(matrices, pointers, (left, right, of_out), batch=batch, steps=steps))
    assert plan is not None  # a problem without an epilogue has a plan, or plan_for raises
    plan.run(*pointers, add)
    return out
