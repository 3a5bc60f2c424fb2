"""Kernel variant of attention: batched GEMM by cuBLASLt, for head sizes above 128, too wide for the other tiles.

Scores are computed for as many heads and queries at a time as fill a block of memory of fixed size, each row with all
its keys. Query heads that share a key/value head come one after another: every GEMM is then one batch, and each sum
over a group has a fixed order.
"""

import functools
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .attention import BFLOAT16, ELEMENTS, FLOAT32, KernelVariant, Problem
from .gemm import unavailable
from .gemm_batched import gemm_batched
from .source import Build, cupy

THREADS = 256
LEAST_HEAD, LARGEST_TIMED = 129, 256  # head sizes: the first that no other kernel takes, and the largest ever measured
LEAST_QUERIES = 16  # with fewer, as in decoding, one thread for each number of the result is not wasteful
BLOCK_BYTES = 256 << 20  # of scores at a time


class Block(NamedTuple):
    """Scores that are in memory together: some key/value heads of the samples, some queries, the keys they may see."""

    heads: slice
    queries: slice
    keys: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the scores."""
        return self.heads.stop - self.heads.start, self.queries.stop - self.queries.start, self.keys


def build_for(dtype: np.dtype) -> Build:
    """The build for a dtype."""
    return Build("attention_gemm.cu", (("ELEMENT", ELEMENTS[dtype]),))


def accepts(p: Problem) -> bool:
    """Wide heads, more than a few queries, and cuBLASLt is there."""
    return p.head_size >= LEAST_HEAD and p.queries >= LEAST_QUERIES and unavailable() is None


def blocks(p: Problem) -> Iterator[Block]:
    """All scores of one query head of each group, in blocks of BLOCK_BYTES."""
    all_heads = p.batch * p.kv_heads
    rows = max(1, min(p.queries, BLOCK_BYTES // (4 * p.keys)))
    heads = max(1, BLOCK_BYTES // (4 * p.keys * rows))
    for first in range(0, all_heads, heads):
        for query in range(0, p.queries, rows):
            last = min(query + rows, p.queries)
            seen = max(last + p.keys - p.queries, 0) if p.causal else p.keys
            if seen:
                yield Block(slice(first, min(first + heads, all_heads)), slice(query, last), seen)


def by_head(x: Any) -> Any:  # (B, T, heads, HS) -> (B heads, T, HS)
    """A contiguous copy in which each head's rows lie together."""
    return cupy.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(-1, x.shape[1], x.shape[3])


def by_position(x: Any, batch: int) -> Any:  # (B heads, T, HS) -> (B, T, heads, HS)
    """A view as attention has its arrays."""
    return x.reshape(batch, -1, *x.shape[1:]).transpose(0, 2, 1, 3)


def forward(problem: Problem, q, k, v, out, lse) -> None:
    """See `KernelVariant`."""
    p, group = problem, problem.heads // problem.kv_heads
    warn_of_wide_heads(p.head_size)
    k, v = by_head(k), by_head(v)  # (B NHkv, Tk, HS) each
    lse.fill(-np.inf)  # for queries before the first key
    for member in range(group):
        own_q = by_head(q[:, :, member::group])  # (B NHkv, Tq, HS)
        own_out = cupy.zeros(own_q.shape, own_q.dtype)  # (B NHkv, Tq, HS)
        for block in blocks(p):
            heads, queries, keys = block
            scores = cupy.empty(block.shape, np.float32)  # (heads, queries, keys)
            gemm_batched(own_q[heads, queries], k[heads, :keys].swapaxes(1, 2), scores)
            shares = scores if q.dtype == FLOAT32 else cupy.empty(block.shape, q.dtype)
            launch(p, "gemm_softmax", block, member, scores, shares, lse)
            gemm_batched(shares, v[heads, :keys], own_out[heads, queries])
        out[:, :, member::group] = by_position(own_out, p.batch)


def backward(problem: Problem, dout, q, k, v, out, lse, dq, dk, dv) -> None:
    """See `KernelVariant`. dk and dv are float32 sums over blocks of queries and heads of a group, in a fixed order."""
    p, group = problem, problem.heads // problem.kv_heads
    k, v = by_head(k), by_head(v)  # (B NHkv, Tk, HS) each
    dk_sum, dv_sum = (cupy.zeros(k.shape, np.float32) for _ in range(2))  # (B NHkv, Tk, HS) each
    for member in range(group):
        own_q, own_dout = by_head(q[:, :, member::group]), by_head(dout[:, :, member::group])  # (B NHkv, Tq, HS) each
        own_dq = cupy.zeros(own_q.shape, own_q.dtype)  # (B NHkv, Tq, HS)
        for block in blocks(p):
            heads, queries, keys = block
            scores, dshares = (cupy.empty(block.shape, np.float32) for _ in range(2))  # (heads, queries, keys) each
            gemm_batched(own_q[heads, queries], k[heads, :keys].swapaxes(1, 2), scores)
            gemm_batched(own_dout[heads, queries], v[heads, :keys].swapaxes(1, 2), dshares)
            shares, dscores = scores, dshares
            if q.dtype != FLOAT32:
                shares, dscores = (cupy.empty(block.shape, q.dtype) for _ in range(2))
            launch(p, "gemm_softmax_backward", block, member, scores, dshares, shares, dscores, lse)
            gemm_batched(dscores, k[heads, :keys], own_dq[heads, queries])  # step C
            gemm_batched(dscores.swapaxes(1, 2), own_q[heads, queries], dk_sum[heads, :keys], add=True)  # step C
            gemm_batched(shares.swapaxes(1, 2), own_dout[heads, queries], dv_sum[heads, :keys], add=True)  # step A
        dq[:, :, member::group] = by_position(own_dq, p.batch)
    dk[...], dv[...] = by_position(dk_sum, p.batch), by_position(dv_sum, p.batch)


def launch(p: Problem, kernel: str, block: Block, member: int, *arrays: Any) -> None:
    """One block of threads for each row of a block of scores."""
    heads, rows, columns = block.shape
    sizes = rows, columns, block.heads.start, block.queries.start, p.queries, p.keys, p.kv_heads
    group = p.heads // p.kv_heads
    build_for(p.dtype).kernel(kernel)(
        heads * rows, THREADS, *arrays, p.key_mask, *sizes, group, member, p.causal, p.scale
    )  # fmt: skip


@functools.cache
def warn_of_wide_heads(head_size: int) -> None:
    """Says once of a head size that it is beyond what this was measured at."""
    if head_size > LARGEST_TIMED:
        warnings.warn(
            f"attention with heads of {head_size} channels: computed by matrix products over blocks of scores, or for "
            f"fewer than {LEAST_QUERIES} queries number by number, which was never timed above {LARGEST_TIMED}; heads "
            "of at most 128 have kernels of their own, several times faster",
            RuntimeWarning,
            stacklevel=2,
        )


VARIANT = KernelVariant("gemm", (FLOAT32, BFLOAT16), accepts, forward, backward)
BUILDS = (build_for(FLOAT32), build_for(BFLOAT16))
