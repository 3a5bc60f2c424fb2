"""The element-wise passes of a step on the GPU, in place where nobody else needs the array, and sums over rows.

The functions of `cpu.passes_numpy`, under the same names, and more. All arrays are C-contiguous and of one dtype
unless said otherwise; N rows, C channels. What is computed between a load and a store is float32.
"""

from typing import Any

import numpy as np

from .elements import (
    BFLOAT16,
    C_NAMES,
    DTYPES,
    FLOAT32,
    THREADS,
    WARP,
    aligned,
    is_aligned,
    pack_of,
    quotient,
    run_over,
)
from .source import Build, cupy

FEW_ROWS, FEW_ELEMENTS = 2048, 1 << 22  # of a matrix whose columns are summed by one kernel: the second costs more
ROWS_A_THREAD = 8  # at least, of the first stage: with fewer, the second has more to read than the first
MOST_SUM_BLOCKS = 1024  # of the first stage: some for every multiprocessor; more would only leave more partial sums


def elementwise(dtype: np.dtype) -> Build:
    """The kernels of elementwise.cu."""
    return Build("elementwise.cu", (("ELEMENT", C_NAMES[dtype]),))


def gelu(dtype: np.dtype, exact: bool = False) -> Build:
    """The kernels of gelu.cu; exact: with the normal distribution's function instead of tanh."""
    return Build("gelu.cu", (("ELEMENT", C_NAMES[dtype]), ("EXACT", int(exact))))


def column_sums(dtype: np.dtype, out: np.dtype, columns: int) -> Build:
    """The kernels of column_sum.cu."""
    single = int(columns % pack_of(dtype) > 0)
    return Build("column_sum.cu", (("ELEMENT", C_NAMES[dtype]), ("OUT", C_NAMES[out]), ("SINGLE", single)))


def add_bias(y: Any, bias: Any) -> None:  # y (N, C); bias (C,)
    """y += bias."""
    run_over(elementwise(y.dtype).kernel("add_row"), (y, bias, y), bias.size, row=bias.size)


def bias_relu(h: Any, bias: Any) -> None:  # h (N, C); bias (C,)
    """h = max(h + bias, 0)."""
    run_over(elementwise(h.dtype).kernel("bias_relu"), (h, bias), bias.size, row=bias.size)


def relu_backward(da: Any, a: Any) -> None:  # da, a (N, C)
    """da = 0 where a, the activation, is 0."""
    run_over(elementwise(da.dtype).kernel("relu_backward"), (da, a, da))


def bias_gelu(h: Any, bias: Any, slope: Any, exact: bool = False) -> None:  # h, slope (N, C); bias (C,)
    """h = gelu(h + bias), tanh form unless exact; slope = its derivative, which is all the backward needs."""
    run_over(gelu(h.dtype, exact).kernel("bias_gelu"), (h, bias, slope), bias.size, row=bias.size)


def gelu_backward(da: Any, h: Any) -> None:  # da, h (N, C)
    """da *= the derivative of gelu at h, which is computed again: for who saves h and no slope."""
    run_over(gelu(da.dtype).kernel("gelu_backward"), (da, h, da))


def multiply_by(da: Any, slope: Any) -> None:  # da, slope (N, C)
    """da *= slope."""
    run_over(elementwise(da.dtype).kernel("multiply_by"), (da, slope))


def column_sum(dy: Any, out: Any, add: bool) -> None:  # dy (N, C); out (C,), float32 or bfloat16
    """out = the sums over the rows, or out += them; always in the same order."""
    if len(dy) <= FEW_ROWS and dy.size <= FEW_ELEMENTS:
        return finish_column_sums(dy, (out, add))
    dy = aligned(dy)
    rows, columns = dy.shape
    across, tiles, chunk = split_column_sum(rows, columns, pack_of(dy.dtype))
    chunks = quotient(rows, chunk)
    partial = cupy.empty((chunks, columns), dtype=FLOAT32)  # (chunks, C)
    at_once = out if chunks == 1 and is_aligned(out) else None
    kernel = column_sums(dy.dtype, out.dtype, columns).kernel("partial_column_sums")
    block = (across, THREADS // across)
    kernel((tiles, chunks), block, dy, partial, at_once, rows, columns, chunk, int(add))
    if at_once is None:
        finish_column_sums(partial, (out, add))


def split_column_sum(rows: int, columns: int, pack: int) -> tuple[int, int, int]:
    """How the first stage is cut: threads of a block side by side, tiles of columns, rows of a chunk."""
    groups = columns // pack if columns % pack == 0 else columns
    across = min(WARP, 1 << (groups - 1).bit_length())  # the other threads of the block take other rows
    tiles, down = quotient(groups, across), THREADS // across
    chunks = max(1, min(quotient(rows, down * ROWS_A_THREAD), MOST_SUM_BLOCKS // tiles))
    return across, tiles, quotient(rows, chunks)


def finish_column_sums(x: Any, *results: tuple[Any, bool]) -> None:  # x (N, C); results (C1,) and perhaps (C - C1,)
    """The sums over the rows by one kernel, to one or two arrays: (array, whether to add to it) each."""
    (a, add_a), (b, add_b) = results if len(results) == 2 else (*results, (None, False))
    rows, columns = x.shape
    if b is not None and a.dtype != b.dtype:
        finish_column_sums(cupy.ascontiguousarray(x[:, : a.size]), results[0])
        return finish_column_sums(cupy.ascontiguousarray(x[:, a.size :]), results[1])
    kernel = column_sums(x.dtype, a.dtype, columns).kernel("finish_column_sums")
    grid, block = quotient(columns, WARP), (WARP, WARP)
    kernel(grid, block, x, a, b, rows, columns, a.size, int(add_a), int(add_b))


BUILDS = (
    *map(elementwise, DTYPES),
    *(gelu(dtype, exact) for dtype in DTYPES for exact in (False, True)),
    column_sums(FLOAT32, FLOAT32, 4),
    column_sums(BFLOAT16, FLOAT32, 8),
    column_sums(BFLOAT16, BFLOAT16, 1),
)
