"""GEMM on the GPU: matrix products into arrays that exist already, by cuBLASLt, with everything prepared once.

A GEMM needs descriptions of its three matrices, an algorithm that cuBLASLt's heuristic proposes for them, and scratch
memory (the workspace). Descriptions and algorithm depend only on the arrays' shapes, strides, dtypes and alignment, the
`GemmProblem`. They are made at the first call for a problem and kept, as a `GemmPlan`. The workspace comes from CuPy's
pool at each call, as the memory of an array does. What is left is one call of the library. It takes the stream as an
argument and allocates nothing, so a CUDA graph may contain it; `cupy.matmul` cannot be captured.

cuBLASLt comes through nvmath-python's bindings. Where they are missing, CuPy computes them, and a warning says so.
"""

import functools
import warnings
from typing import Any, NamedTuple

import numpy as np

from .precision import float32_matmul_precision
from .source import cupy

WORKSPACE_BYTES = 32 << 20  # that an algorithm may ask for: what PyTorch gives cuBLASLt on Hopper
MOST_ALIGNMENT = 256  # bytes; the library has no use for more
LEAST_ALIGNMENT = 16  # of a pointer to a bias: what its kernels load at once
IN_COMPUTE_TYPE = 2  # cublasLtReductionScheme_t: parts of a long sum are added up in float32, never in bfloat16
ONE, ZERO = np.ones(1, np.float32), np.zeros(1, np.float32)
ONE_POINTER, ZERO_POINTER = ONE.ctypes.data, ZERO.ctypes.data

BIAS, COLUMN_SUMS = "BIAS", "BGRADA"  # cublasLtEpilogue_t: what is done to the product or beside it


class GemmError(RuntimeError):
    """A matrix product that cuBLASLt has no algorithm for, or arrays that do not fit together."""


class Layout(NamedTuple):
    """How BLAS reads a matrix: row after row as it lies, or transposed; `leading` elements from one to the next."""

    transposed: bool
    leading: int


class GemmProblem(NamedTuple):
    """What a plan is made for, and its key. left (M, K), right (K, N), out (M, N), which is never transposed.

    alignments: of the addresses of left, right and out, in bytes
    epilogue:   None, BIAS or COLUMN_SUMS
    batch:      how many products there are
    steps:      elements from one matrix of a batch to the next: in left, right and out
    """

    rows: int  # M
    inner: int  # K
    columns: int  # N
    left: Layout
    right: Layout
    out: Layout
    dtype: np.dtype
    out_dtype: np.dtype
    precision: str
    epilogue: str | None
    alignments: tuple[int, ...]
    device: int
    batch: int = 1
    steps: tuple[int, ...] = (0, 0, 0)


class ColumnMajor(NamedTuple):
    """A matrix as cuBLASLt is told of it, which counts down columns: our rows are its columns."""

    transposed: bool
    rows: int
    columns: int
    leading: int


def layout_of(array: Any) -> Layout | None:
    """How BLAS reads a 2-D array; None where it cannot, because no axis is contiguous."""
    (rows, columns), (down, along), size = array.shape, array.strides, array.itemsize
    if along == size or columns == 1:  # the step along an axis of one element says nothing
        step = columns * size if rows == 1 else down
        if step >= columns * size and step % size == 0:
            return Layout(False, step // size)
    if down == size or rows == 1:
        step = rows * size if columns == 1 else along
        if step >= rows * size and step % size == 0:
            return Layout(True, step // size)
    return None


def column_major(problem: GemmProblem) -> tuple[ColumnMajor, ColumnMajor, ColumnMajor]:
    """The product as the library computes it: outᵀ = rightᵀ leftᵀ. Its first factor, its second and its result.

    Memory that holds a (K, N) matrix row after row holds its transpose, (N, K), column after column. So what lies
    plainly for us is what the library wants, and what is transposed for us it has to transpose.
    """
    m, k, n = problem.rows, problem.inner, problem.columns
    first = (k, n) if problem.right.transposed else (n, k)
    second = (m, k) if problem.left.transposed else (k, m)
    return (
        ColumnMajor(problem.right.transposed, *first, problem.right.leading),
        ColumnMajor(problem.left.transposed, *second, problem.left.leading),
        ColumnMajor(False, n, m, problem.out.leading),
    )


def problem_of(
    matrices: tuple[Any, Any, Any],
    pointers: tuple[int, int, int],
    layouts: tuple[Layout, Layout, Layout],
    epilogue: str | None = None,
    batch: int = 1,
    steps: tuple[int, ...] = (0, 0, 0),
) -> GemmProblem:
    """The problem of these three matrices, a (M, K), b (K, N) and out (M, N), or of a batch whose first ones they are.

    pointers: the addresses of the three
    """
    a, b, out = matrices
    left, right, of_out = layouts
    return GemmProblem(
        rows=a.shape[0],
        inner=a.shape[1],
        columns=b.shape[1],
        left=left,
        right=right,
        out=of_out,
        dtype=a.dtype,
        out_dtype=out.dtype,
        precision=float32_matmul_precision() if a.dtype == np.float32 else "",
        epilogue=epilogue,
        alignments=tuple(map(_alignment, pointers, steps, (a.itemsize, b.itemsize, out.itemsize))),
        device=out.data.device_id,
        batch=batch,
        steps=steps,
    )


def _alignment(pointer: int, step: int, itemsize: int) -> int:
    """Of every matrix of a batch, in bytes: the largest power of 2 that divides the first address and the step."""
    together = pointer | step * itemsize
    return min(together & -together, MOST_ALIGNMENT)


def gemm(a, b, out, add=False):  # a (M, K), b (K, N), out (M, N)
    """out = a @ b, or out += a @ b. Returns out.

    a, b: float32, or bfloat16 (products exact, sums float32); transposed views are read where they lie
    out:  of the same dtype, or float32

    Raises GemmError.
    """
    _check(a, b, out)
    if not out.size:
        return out
    _check_device(a, b, out)
    if not a.size:
        if not add:
            out.fill(0)
        return out
    if not _by_library(a, b, out, add):
        _by_cupy(a, b, out, add)
    return out


def gemm_bias(a, b, out, bias) -> bool:  # bias (N,)
    """out = a @ b + bias in one kernel. Returns False, with nothing done, where the library cannot."""
    return bias.dtype == out.dtype and _by_library(a, b, out, False, BIAS, bias)


def gemm_column_sums(a, b, out, add, sums) -> bool:  # sums (N,)
    """out = a @ b, or out += a @ b, and sums = the column sums of b, in one kernel. False as in `gemm_bias`."""
    return sums.dtype == out.dtype and _by_library(a, b, out, add, COLUMN_SUMS, sums)


def _check(a, b, out) -> None:
    fits = a.ndim == b.ndim == out.ndim == 2 and a.shape[1] == b.shape[0]
    fits = fits and out.shape == (a.shape[0], b.shape[1]) and a.dtype == b.dtype
    if not fits:
        arrays = ", ".join(f"{x.dtype} {x.shape}" for x in (a, b, out))
        raise GemmError(f"gemm: a (M, K) and b (K, N) of one dtype, out (M, N); got {arrays}")


def _check_device(*arrays) -> None:
    """Raises GemmError for arrays that are not on the current device: its handle and stream would be another's."""
    current = cupy.cuda.runtime.getDevice()
    for array in arrays:
        if array.data.device_id != current:
            raise GemmError(
                f"gemm: an array lies on device {array.data.device_id}, and the current device is {current}; "
                f"compute inside `with cupy.cuda.Device({array.data.device_id}):`"
            )


def _by_library(a, b, out, add, epilogue=None, vector=None) -> bool:
    """The product by cuBLASLt; False, with nothing done, where it has no plan for these arrays."""
    if not (out.size and a.size and _known_dtypes(a.dtype, out.dtype)) or unavailable() is not None:
        return False
    if epilogue is not None:
        _check_device(a, b, out, vector)
        if not vector.flags.c_contiguous:  # the library is told where its first number is, and nothing of strides
            return False
    out_layout = layout_of(out)
    if out_layout is None:
        raise GemmError(f"gemm: out {out.shape} has strides {out.strides} (bytes); one axis must be contiguous")
    if out_layout.transposed:  # outᵀ = bᵀ aᵀ; what an epilogue does is bound to out's rows
        return epilogue is None and _by_library(b.T, a.T, out.T, add)
    (a, left), (b, right) = _readable(a), _readable(b)
    pointers = a.data.ptr, b.data.ptr, out.data.ptr
    plan = plan_for(problem_of((a, b, out), pointers, (left, right, out_layout), epilogue))
    if plan is None or (vector is not None and vector.data.ptr % LEAST_ALIGNMENT):
        return False
    plan.run(*pointers, add, vector)
    return True


def _known_dtypes(dtype: np.dtype, out: np.dtype) -> bool:
    return dtype.name in _TYPES and (out == dtype or out == np.float32)


def _readable(array: Any) -> tuple[Any, Layout]:
    """The array, copied if BLAS cannot read it where it lies, and how it lies."""
    layout = layout_of(array)
    if layout is not None:
        return array, layout
    return cupy.ascontiguousarray(array), Layout(False, array.shape[1])


def _by_cupy(a, b, out, add) -> None:
    """The product where cuBLASLt is missing or does not know the dtype. Not for a CUDA graph."""
    if a.dtype.name == "bfloat16":  # CuPy would round the sums to bfloat16
        a, b = a.astype(np.float32), b.astype(np.float32)
    product = cupy.matmul(a, b)
    if add:
        product += out.astype(product.dtype)
    out[...] = product.astype(out.dtype)


# The library

_TYPES = {"float32": "CUDA_R_32F", "bfloat16": "CUDA_R_16BF"}


@functools.cache
def unavailable() -> str | None:
    """Why cuBLASLt cannot be used; None if it can. Warns, once, if it cannot."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs, of an import
            from nvmath.bindings import cublasLt

            cublasLt.get_version()  # loads the library itself
        return None
    except ImportError:
        reason = "nvmath-python is not installed"
    except Exception as error:  # the bindings have an error class of their own for each cause
        reason = f"nvmath-python finds no cuBLASLt: {error}"
    warnings.warn(
        f"matrix products run through CuPy, without CUDA graphs and slower in bfloat16: {reason}; "
        'pip install -e ".[gpu]" (CUDA 12) or ".[gpu-cuda13]" (CUDA 13), in a checkout, brings it',
        RuntimeWarning,
        stacklevel=2,
    )
    return reason


@functools.cache
def _handle(device: int) -> int:
    """The library's state on a device. Made while that device is the current one."""
    from nvmath.bindings import cublasLt

    return cublasLt.create()


@functools.cache
def plan_for(problem: GemmProblem) -> "GemmPlan | None":
    """The plan for a problem, made at its first use. None: the library does not have this epilogue for this problem.

    Raises GemmError if the library has no algorithm for a problem without an epilogue.
    """
    plan = GemmPlan(problem)
    if plan.candidates(1):
        return plan
    if problem.epilogue is None:
        raise GemmError(f"cuBLASLt has no algorithm for {problem} ({plan.refusal})")
    return None


class GemmPlan:
    """Descriptions and algorithm for one problem. Not for two threads at a time."""

    def __init__(self, problem: GemmProblem):
        from nvmath import CudaDataType
        from nvmath.bindings import cublas, cublasLt

        self.library, self.problem = cublasLt, problem
        self.handle = _handle(problem.device)
        types = {name: int(getattr(CudaDataType, code)) for name, code in _TYPES.items()}
        compute = "COMPUTE_32F_FAST_TF32" if problem.precision == "tf32" else "COMPUTE_32F"
        self.description = cublasLt.matmul_desc_create(int(cublas.ComputeType[compute]), types["float32"])
        first, second, out = column_major(problem)
        of_left, of_right, of_out = problem.steps
        self.first = self._matrix(types[problem.dtype.name], first, of_right)
        self.second = self._matrix(types[problem.dtype.name], second, of_left)
        self.out = self._matrix(types[problem.out_dtype.name], out, of_out)
        self._describe("TRANSA", int(first.transposed))  # cublasOperation_t: N is 0, T is 1
        self._describe("TRANSB", int(second.transposed))
        self.vector_pointer = np.zeros(1, np.int64)
        self.refusal = ""
        if problem.epilogue is not None:
            self._describe("EPILOGUE", int(cublasLt.Epilogue[problem.epilogue]))
            self._point_at(MOST_ALIGNMENT)  # for the heuristic: an address as good as any

    def _matrix(self, kind: int, matrix: ColumnMajor, step: int) -> int:
        """The description of a matrix, or of a batch of them that lie `step` elements apart."""
        library = self.library
        layout = library.matrix_layout_create(kind, matrix.rows, matrix.columns, matrix.leading)
        if self.problem.batch > 1:
            for attribute, value in (("BATCH_COUNT", self.problem.batch), ("STRIDED_BATCH_OFFSET", step)):
                name = library.MatrixLayoutAttribute[attribute]
                buffer = np.array([value], library.get_matrix_layout_attribute_dtype(name))
                library.matrix_layout_set_attribute(layout, name, buffer.ctypes.data, buffer.nbytes)
        return layout

    def _describe(self, attribute: str, value: int) -> None:
        name = self.library.MatmulDescAttribute[attribute]
        buffer = np.array([value], self.library.get_matmul_desc_attribute_dtype(name))
        self.library.matmul_desc_set_attribute(self.description, name, buffer.ctypes.data, buffer.nbytes)

    def _point_at(self, address: int) -> None:
        """Where the bias is, or where the column sums go."""
        self.vector_pointer[0] = address
        name, buffer = self.library.MatmulDescAttribute.BIAS_POINTER, self.vector_pointer
        self.library.matmul_desc_set_attribute(self.description, name, buffer.ctypes.data, buffer.nbytes)

    def candidates(self, most: int) -> int:
        """Asks the heuristic for its best algorithms, takes the first; returns how many it found."""
        library, preference = self.library, self._preference()
        self.results, count = library.MatmulHeuristicResult(most), np.zeros(1, np.int32)
        matrices = self.first, self.second, self.out, self.out
        try:
            library.matmul_algo_get_heuristic(
                self.handle, self.description, *matrices, preference, most, self.results.ptr, count.ctypes.data
            )
        except library.cuBLASLtError as error:  # mostly NOT_SUPPORTED
            self.refusal = str(error)
            return 0
        finally:
            library.matmul_preference_destroy(preference)
        self.take(0)
        return int(count[0])

    def take(self, candidate: int) -> None:
        """Goes on with one of the candidates."""
        result = self.results[candidate]
        self.algorithm = result.ptr  # its first member is the algorithm
        self.workspace_bytes = int(result.workspace_size)

    def _preference(self) -> int:
        """What the algorithm may assume and use. To be destroyed."""
        library, preference = self.library, self.library.matmul_preference_create()
        right, left, out = self.problem.alignments[1], self.problem.alignments[0], self.problem.alignments[2]
        wishes = {
            "MAX_WORKSPACE_BYTES": WORKSPACE_BYTES,
            "MIN_ALIGNMENT_A_BYTES": right,
            "MIN_ALIGNMENT_B_BYTES": left,
            "MIN_ALIGNMENT_C_BYTES": out,
            "MIN_ALIGNMENT_D_BYTES": out,
        }
        if self.problem.out_dtype != np.float32:
            wishes["REDUCTION_SCHEME_MASK"] = IN_COMPUTE_TYPE
        for attribute, value in wishes.items():
            name = library.MatmulPreferenceAttribute[attribute]
            buffer = np.array([value], library.get_matmul_preference_attribute_dtype(name))
            library.matmul_preference_set_attribute(preference, name, buffer.ctypes.data, buffer.nbytes)
        return preference

    def run(self, a: int, b: int, out: int, add: bool, vector: Any = None) -> None:
        """Launches the GEMM of the matrices at these addresses, on the current stream.

        The pool may give the workspace to whoever asks next on this stream: the kernels of that one come later.
        """
        stream = cupy.cuda.get_current_stream().ptr
        workspace = cupy.cuda.alloc(self.workspace_bytes) if self.workspace_bytes else None
        if vector is not None:
            self._point_at(vector.data.ptr)
        beta = ONE_POINTER if add else ZERO_POINTER
        factors = ONE_POINTER, b, self.first, a, self.second
        results = beta, out, self.out, out, self.out, self.algorithm
        memory = (workspace.ptr, self.workspace_bytes) if workspace is not None else (0, 0)
        self.library.matmul(self.handle, self.description, *factors, *results, *memory, stream)
