"""Kernel variant of attention: block by block with an online softmax, in float32 arithmetic. Head sizes up to 128."""

from typing import Any

import numpy as np

from .attention import BFLOAT16, ELEMENTS, FLOAT32, KernelVariant, Problem, view_arguments
from .source import Build, cupy

THREADS, ROWS = 128, 64  # of a block; ROWS queries or keys are its own
LARGEST_HEAD = 128
FLOAT_BYTES = 4


def row_stride(head_size: int) -> int:
    """Floats from row to row of a tile, as kernels/attention_tiles.cuh has it."""
    return -(-head_size // 8) * 8 + 4


def columns_of(head_size: int) -> tuple[int, int]:
    """Keys (queries) that a step takes, forward and backward: so few that two blocks or more fit side by side."""
    return (64, 32) if head_size <= 64 else (32, 32) if head_size <= 96 else (32, 16)


def shared_bytes(own_tiles: int, columns: int, head_size: int) -> int:
    """Of a block: its own tiles, two tiles that it walks over, and a tile of pairs."""
    rows = own_tiles * ROWS + 2 * columns
    return FLOAT_BYTES * (rows * row_stride(head_size) + ROWS * (columns + 8))


def build_for(dtype: np.dtype, head_size: int) -> Build:
    """The build for a dtype and a head size."""
    forward_columns, backward_columns = columns_of(head_size)
    return Build(
        "attention_blockwise.cu",
        (
            ("ELEMENT", ELEMENTS[dtype]),
            ("HEAD_SIZE", head_size),
            ("FORWARD_COLUMNS", forward_columns),
            ("BACKWARD_COLUMNS", backward_columns),
        ),
    )


def accepts(problem: Problem) -> bool:
    """Any head size that is small enough."""
    return problem.head_size <= LARGEST_HEAD


def forward(problem: Problem, q, k, v, out, lse) -> None:
    """See `KernelVariant`."""
    p, columns = problem, columns_of(problem.head_size)[0]
    build_for(p.dtype, p.head_size).kernel("blockwise_forward")(
        p.batch * p.heads * tiles(p.queries), THREADS,
        *view_arguments(q, k, v, out), lse, p.key_mask, *sizes(p), shared=shared_bytes(1, columns, p.head_size),
    )  # fmt: skip


def backward(problem: Problem, dout, q, k, v, out, lse, dq, dk, dv) -> None:
    """See `KernelVariant`. Delta first, then one kernel that owns queries and one that owns keys."""
    p, build = problem, build_for(problem.dtype, problem.head_size)
    delta = cupy.empty(lse.shape, np.float32)  # (B, NH, Tq)
    rows_a_block = THREADS // 32  # a warp each
    build.kernel("blockwise_delta")(
        -(-delta.size // rows_a_block), THREADS, *view_arguments(dout, out), delta, p.batch, p.queries, p.heads
    )  # fmt: skip
    views, saved = view_arguments(dout, q, k, v), (lse, delta, p.key_mask)
    shared = shared_bytes(2, columns_of(p.head_size)[1], p.head_size)
    build.kernel("blockwise_backward_queries")(
        p.batch * p.heads * tiles(p.queries), THREADS, *views, *view_arguments(dq), *saved, *sizes(p), shared=shared
    )  # fmt: skip
    build.kernel("blockwise_backward_keys")(
        p.batch * p.kv_heads * tiles(p.keys), THREADS, *views, *view_arguments(dk, dv), *saved, *sizes(p), shared=shared
    )  # fmt: skip


def tiles(rows: int) -> int:
    """Blocks that share the queries or keys of a head."""
    return -(-rows // ROWS)


def sizes(p: Problem) -> tuple[Any, ...]:
    """What every kernel is told of the problem."""
    return p.queries, p.keys, p.heads, p.kv_heads, p.causal, p.scale


VARIANT = KernelVariant("blockwise", (FLOAT32, BFLOAT16), accepts, forward, backward)
BUILDS = tuple(build_for(dtype, head_size) for dtype in (FLOAT32, BFLOAT16) for head_size in (20, 64, 128))
