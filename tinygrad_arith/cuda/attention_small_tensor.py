"""Attention for at most 64 positions on tensor cores: a whole head in one block, bfloat16. Head sizes up to 128."""

from .attention import BFLOAT16, ELEMENTS, KernelVariant, Problem, view_arguments
from .attention_blockwise import LARGEST_HEAD
from .attention_small import MOST_POSITIONS, padded
from .source import Build

HEAD_STEP = 8  # elements of 16 bytes, which are copied at once


def build_for(head_size: int, queries: int, keys: int, group: int) -> Build:
    """The build for these sizes; group: query heads that share a key/value head."""
    return Build(
        "attention_small_tensor.cu",
        (
            ("ELEMENT", ELEMENTS[BFLOAT16]),
            ("HEAD_SIZE", head_size),
            ("QUERY_ROWS", padded(queries)),
            ("KEY_ROWS", padded(keys)),
            ("GROUP_SIZE", group),
        ),
    )


def row_bytes(head_size: int) -> int:
    """Of a row in shared memory, as kernels/attention_mma.cuh has it."""
    channels = -(-head_size // 16) * 16 if head_size <= 64 else 96 if head_size <= 96 else 128
    return 2 * channels


def accepts(p: Problem) -> bool:
    """Few positions, and rows of whole copies."""
    return max(p.queries, p.keys) <= MOST_POSITIONS and p.head_size <= LARGEST_HEAD and p.head_size % HEAD_STEP == 0


def forward(problem: Problem, q, k, v, out, lse) -> None:
    """See `KernelVariant`. A warp for 16 queries."""
    p, queries, keys = problem, padded(problem.queries), padded(problem.keys)
    shared = (queries + 2 * keys) * row_bytes(p.head_size)
    launch(p, "small_tensor_forward", p.heads, queries // 16, view_arguments(q, k, v, out), lse, shared)


def backward(problem: Problem, dout, q, k, v, out, lse, dq, dk, dv) -> None:
    """See `KernelVariant`. A warp for 16 queries, and another for 16 keys."""
    p, queries, keys = problem, padded(problem.queries), padded(problem.keys)
    shared = 2 * (queries + keys) * row_bytes(p.head_size) + 8 * queries + 4 * keys  # tiles; numbers a row
    views = view_arguments(dout, q, k, v, out, dq, dk, dv)
    launch(p, "small_tensor_backward", p.kv_heads, (queries + keys) // 16, views, lse, shared)


def launch(p: Problem, kernel: str, heads: int, warps: int, views: list, lse, shared: int) -> None:
    """One block for each of so many heads of a sample."""
    build = build_for(p.head_size, p.queries, p.keys, p.heads // p.kv_heads)
    sizes = p.queries, p.keys, p.heads, p.causal, p.scale
    build.kernel(kernel)((p.batch, heads), 32 * warps, *views, lse, p.key_mask, *sizes, shared=shared)


VARIANT = KernelVariant("small_tensor", (BFLOAT16,), accepts, forward, backward)
BUILDS = tuple(
    build_for(head_size, positions, positions, group)
    for head_size, positions, group in ((16, 19, 1), (32, 32, 1), (32, 32, 2), (64, 64, 1), (128, 64, 1))
)
