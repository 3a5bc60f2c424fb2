"""Attention for at most 64 positions: a whole head in one block, in float32 arithmetic. Head sizes up to 128."""

import numpy as np

from .attention import BFLOAT16, ELEMENTS, FLOAT32, KernelVariant, Problem, view_arguments
from .attention_blockwise import FLOAT_BYTES, LARGEST_HEAD, THREADS, row_stride
from .source import Build

MOST_POSITIONS = 64
STEP = 16  # tiles have a multiple of so many positions


def padded(positions: int) -> int:
    """Rows of a tile."""
    return -(-positions // STEP) * STEP


def forward_shared(p: Problem) -> int:
    """Bytes: a tile of queries, two of keys, one of pairs."""
    queries, keys = padded(p.queries), padded(p.keys)
    return FLOAT_BYTES * ((queries + 2 * keys) * row_stride(p.head_size) + queries * (keys + 8))


def backward_shared(p: Problem) -> int:
    """Bytes: two tiles of queries, two of keys, two of pairs."""
    queries, keys = padded(p.queries), padded(p.keys)
    return FLOAT_BYTES * 2 * ((queries + keys) * row_stride(p.head_size) + keys * (queries + 4))


def build_for(dtype: np.dtype, head_size: int, queries: int, keys: int, group: int) -> Build:
    """The build for a dtype and sizes; group: query heads that share a key/value head."""
    return Build(
        "attention_small.cu",
        (
            ("ELEMENT", ELEMENTS[dtype]),
            ("HEAD_SIZE", head_size),
            ("QUERY_ROWS", padded(queries)),
            ("KEY_ROWS", padded(keys)),
            ("GROUP_SIZE", group),
        ),
    )


def accepts(p: Problem) -> bool:
    """Few positions, and a head that fits into shared memory."""
    fits = max(p.queries, p.keys) <= MOST_POSITIONS and p.head_size <= LARGEST_HEAD
    return fits and backward_shared(p) <= p.most_shared


def forward(problem: Problem, q, k, v, out, lse) -> None:
    """See `KernelVariant`."""
    p = problem
    launch(p, "small_forward", p.heads, view_arguments(q, k, v, out), lse, forward_shared(p))


def backward(problem: Problem, dout, q, k, v, out, lse, dq, dk, dv) -> None:
    """See `KernelVariant`. One kernel: whoever has computed the probabilities makes all three gradients of them."""
    p = problem
    views = view_arguments(dout, q, k, v, out, dq, dk, dv)
    launch(p, "small_backward", p.kv_heads, views, lse, backward_shared(p))


def launch(p: Problem, kernel: str, heads: int, views: list, lse, shared: int) -> None:
    """One block for each of so many heads of a sample."""
    build = build_for(p.dtype, p.head_size, p.queries, p.keys, p.heads // p.kv_heads)
    sizes = p.queries, p.keys, p.heads, p.causal, p.scale
    build.kernel(kernel)((p.batch, heads), THREADS, *views, lse, p.key_mask, *sizes, shared=shared)


VARIANT = KernelVariant("small", (FLOAT32, BFLOAT16), accepts, forward, backward)
BUILDS = tuple(
    build_for(dtype, head_size, positions, positions, group)
    for dtype in (FLOAT32, BFLOAT16)
    for head_size, positions, group in ((12, 19, 1), (32, 32, 1), (32, 32, 2), (64, 64, 1), (128, 48, 1))
)
