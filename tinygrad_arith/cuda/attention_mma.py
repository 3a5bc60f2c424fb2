"""Kernel variant of attention on tensor cores: bfloat16 with float32 sums, by the kernels attention_mma_*.cu.

The backward has two ways to the gradients of the queries, see kernels/attention_mma_backward_keys.cu: `RECOMPUTE` in a
pass of their own, the same bits every time, and `ATOMIC` in the pass of the keys, where the order of the sum is open.
"""

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from .attention import KernelVariant, Problem, scales_after_the_maximum, view_arguments
from .source import Build, cupy

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
CHANNELS = (16, 32, 48, 64, 96, 128)  # head sizes in shared memory; others are filled up with zeros there
ROW_PADDING = 128  # queries; a multiple of every tile of queries
TOGETHER_BYTES = 16 << 20  # of what blocks that run together read again and again: it should stay in the L2 cache
MOST_GRID = 65535  # blocks in the second and third direction
RECOMPUTE, ATOMIC = 0, 1  # the macro DQ
DELTA_THREADS, DELTA_ROWS_A_THREAD = 256, 4  # of attention_mma_backward_delta.cu


class ForwardTiles(NamedTuple):
    """Sizes of attention_mma_forward.cu, and how many blocks share a multiprocessor."""

    queries: int
    keys: int
    warps: int
    blocks: int
    least_arch: int = 80  # from which on the compiler has registers enough for it
    below_arch: int = 1000  # and from which on no more

    def shared(self, channels: int) -> int:
        """Bytes of shared memory: the queries, two stages of keys and values."""
        return 2 * channels * (self.queries + 4 * self.keys)


class KeyTiles(NamedTuple):
    """Sizes of attention_mma_backward_keys.cu."""

    key_rows: int
    queries: int
    chunk: int
    warps: int
    blocks: int
    pairs: int
    least_arch: int = 80
    below_arch: int = 1000

    @property
    def keys(self) -> int:
        return self.key_rows * self.warps // (1 + self.pairs)

    def shared(self, channels: int, way: int) -> int:
        """Bytes: keys and values, two stages of queries, dout and two numbers a row, tables of shares and dscores."""
        tables = self.pairs + (way == ATOMIC)
        row_bytes, table_bytes = 2 * channels, 2 * self.keys * self.queries
        return row_bytes * (2 * self.keys + 4 * self.queries) + 2 * 8 * self.queries + tables * table_bytes


class QueryTiles(NamedTuple):
    """Sizes of attention_mma_backward_queries.cu."""

    queries: int
    keys: int
    chunk: int
    warps: int
    blocks: int
    least_arch: int = 80
    below_arch: int = 1000

    def shared(self, channels: int) -> int:
        """Bytes: queries and dout, two stages of keys and values."""
        return 2 * channels * (2 * self.queries + 4 * self.keys)


# By channels, the fastest first. The last takes no more than all from sm_80 on have: 99 KiB a block on sm_86 and sm_89.
# A warp's rows times channels are the sums in its registers: the wider, the fewer rows, or the fewer sums.
FORWARD = {
    **dict.fromkeys((16, 32, 48, 64), (ForwardTiles(128, 64, 4, 2),)),
    96: (ForwardTiles(128, 48, 4, 2),),
    128: (ForwardTiles(128, 48, 4, 2, 90, 120), ForwardTiles(128, 32, 4, 2)),
}
SMALL_KEYS = dict.fromkeys((16, 32, 48), (KeyTiles(32, 64, 32, 4, 2, 0),))
KEYS_96, LEAST_KEYS = KeyTiles(32, 64, 32, 8, 1, 1), KeyTiles(32, 32, 32, 4, 1, 1)
BACKWARD_KEYS = {  # by the way to dq: whoever adds it up needs the registers for that
    RECOMPUTE: {
        **SMALL_KEYS,
        64: (KeyTiles(32, 32, 32, 4, 2, 0),),
        96: (KEYS_96, LEAST_KEYS),
        128: (KeyTiles(32, 64, 64, 4, 2, 1), KeyTiles(32, 64, 64, 8, 1, 1), LEAST_KEYS),
    },
    ATOMIC: {
        **SMALL_KEYS,
        64: (KeyTiles(32, 64, 16, 4, 2, 0),),
        96: (KEYS_96, LEAST_KEYS),
        128: (KeyTiles(32, 64, 64, 8, 1, 1), LEAST_KEYS),
    },
}
BACKWARD_QUERIES = {
    **dict.fromkeys((16, 32, 48, 64), (QueryTiles(128, 64, 64, 4, 2),)),
    96: (QueryTiles(128, 32, 32, 4, 2),),
    128: (QueryTiles(128, 32, 32, 4, 2, 90, 100), QueryTiles(64, 64, 64, 4, 2)),
}


def channels_of(head_size: int) -> int:
    """The head size in shared memory."""
    return next(channels for channels in CHANNELS if channels >= head_size)


def fitting(table: dict[int, tuple], problem: Problem, *way: int) -> Any:
    """The fastest tiles of a table that the device has registers and shared memory for; None if there are none."""
    channels = channels_of(problem.head_size)
    for tiles in table[channels]:
        has_registers = tiles.least_arch <= problem.arch < tiles.below_arch
        if has_registers and tiles.shared(channels, *way) <= problem.most_shared:
            return tiles
    return None


def build(file: str, head_size: int, tiles: Any = None, **more: int) -> Build:
    """A file of kernels/ for a head size and sizes of tiles."""
    sizes = {} if tiles is None else tiles._asdict()
    least_arch, below_arch = sizes.pop("least_arch", 80), sizes.pop("below_arch", 1000)
    defines = {"HEAD_SIZE": head_size, **{name.upper(): value for name, value in sizes.items()}, **more}
    return Build(f"attention_mma_{file}.cu", tuple(defines.items()), least_arch, below_arch)


def dq_way(problem: Problem) -> int:
    """How the gradients of the queries are summed."""
    return RECOMPUTE if problem.deterministic else ATOMIC


def accepts(problem: Problem) -> bool:
    """bfloat16 with rows that are whole multiples of 16 bytes, and tiles that fit into shared memory."""
    if problem.dtype != BFLOAT16 or problem.arch < 80 or problem.head_size % 8 or problem.head_size > CHANNELS[-1]:
        return False
    if not scales_after_the_maximum(problem) or (problem.causal and problem.queries > problem.keys):
        return False
    fit = (
        fitting(FORWARD, problem),
        fitting(BACKWARD_KEYS[dq_way(problem)], problem, dq_way(problem)),
        fitting(BACKWARD_QUERIES, problem),
    )
    return None not in fit and max(problem.batch, problem.heads) <= MOST_GRID


def together(problem: Problem, rows: int, heads: int) -> int:
    """How many heads the blocks that run at the same time work on, if each reads `rows` rows of two arrays."""
    return min(max(TOGETHER_BYTES // (2 * rows * problem.head_size * BFLOAT16.itemsize), 1), problem.batch * heads)


def forward(problem: Problem, q, k, v, out, lse) -> None:
    """See `attention.KernelVariant`."""
    tiles = fitting(FORWARD, problem)
    kernel = build("forward", problem.head_size, tiles).kernel("attention_mma_forward")
    kernel(
        -(-problem.queries // tiles.queries) * problem.batch * problem.heads, 32 * tiles.warps,
        *view_arguments(q, k, v, out), lse, problem.key_mask,
        problem.batch, problem.queries, problem.keys, problem.heads, problem.kv_heads,
        problem.causal, problem.scale, together(problem, problem.keys, problem.heads),
        shared=tiles.shared(channels_of(problem.head_size)),
    )  # fmt: skip


def backward(problem: Problem, dout, q, k, v, out, lse, dq, dk, dv) -> None:
    """See `attention.KernelVariant`."""
    lse_delta = lse_and_delta(problem, dout, out, lse)  # (B, NH, padded, 2)
    if dq_way(problem) == RECOMPUTE:
        backward_keys(problem, dout, q, k, v, lse_delta, dk, dv)
        backward_queries(problem, dout, q, k, v, lse_delta, dq)
        return
    tiles = fitting(BACKWARD_KEYS[ATOMIC], problem, ATOMIC)
    shape = (problem.batch, problem.heads, -(-problem.queries // tiles.queries))
    dq_sum = cupy.zeros((*shape, tiles.queries * channels_of(problem.head_size)), np.float32)
    backward_keys(problem, dout, q, k, v, lse_delta, dk, dv, dq_sum)
    round_dq(problem, dq_sum, dq)


def lse_and_delta(problem: Problem, dout, out, lse):
    """Of each query lse log2(e) and delta, the inner product of its rows of out and dout: (B, NH, padded, 2) float32"""
    padded = -(-problem.queries // ROW_PADDING) * ROW_PADDING
    lse_delta = cupy.empty((problem.batch, problem.heads, padded, 2), np.float32)
    lanes = max(2, 1 << (problem.head_size // 8 - 1).bit_length())
    kernel = build("backward_delta", problem.head_size).kernel("attention_mma_backward_delta")
    grid = (problem.heads, -(-padded * lanes // (DELTA_THREADS * DELTA_ROWS_A_THREAD)), problem.batch)
    kernel(grid, DELTA_THREADS, *view_arguments(out, dout), lse, lse_delta, problem.queries, padded)
    return lse_delta


def backward_keys(problem: Problem, dout, q, k, v, lse_delta, dk, dv, dq_sum=None) -> None:
    """Writes dk and dv; adds to dq_sum where there is one."""
    way = RECOMPUTE if dq_sum is None else ATOMIC
    tiles = fitting(BACKWARD_KEYS[way], problem, way)
    kernel = build("backward_keys", problem.head_size, tiles, DQ=way).kernel("attention_mma_backward_keys")
    group = problem.heads // problem.kv_heads
    kernel(
        -(-problem.keys // tiles.keys) * problem.batch * problem.kv_heads, 32 * tiles.warps,
        *view_arguments(q, k, v, dout), lse_delta, *view_arguments(dk, dv), dq_sum, problem.key_mask,
        problem.batch, problem.queries, lse_delta.shape[2], problem.keys, problem.heads, problem.kv_heads,
        problem.causal, problem.scale, together(problem, group * problem.queries, problem.kv_heads),
        shared=tiles.shared(channels_of(problem.head_size), way),
    )  # fmt: skip


def backward_queries(problem: Problem, dout, q, k, v, lse_delta, dq) -> None:
    """Writes dq."""
    tiles = fitting(BACKWARD_QUERIES, problem)
    kernel = build("backward_queries", problem.head_size, tiles).kernel("attention_mma_backward_queries")
    kernel(
        -(-problem.queries // tiles.queries) * problem.batch * problem.heads, 32 * tiles.warps,
        *view_arguments(q, k, v, dout), lse_delta, *view_arguments(dq), problem.key_mask,
        problem.batch, problem.queries, lse_delta.shape[2], problem.keys, problem.heads, problem.kv_heads,
        problem.causal, problem.scale, together(problem, problem.keys, problem.heads),
        shared=tiles.shared(channels_of(problem.head_size)),
    )  # fmt: skip


def round_dq(problem: Problem, dq_sum, dq) -> None:  # dq_sum (B, NH, tiles, queries of a tile x channels)
    """dq from its sum in float32, which lies in the order in which the warps hold it."""
    tiles = fitting(BACKWARD_KEYS[ATOMIC], problem, ATOMIC)
    kernel = build("backward_keys", problem.head_size, tiles, DQ=ATOMIC).kernel("attention_mma_backward_round")
    grid = (dq_sum.shape[2], problem.heads, problem.batch)
    kernel(grid, 32 * tiles.warps, dq_sum, *view_arguments(dq), problem.queries, problem.scale)


def builds(head_size: int) -> list[Build]:
    """All builds for a head size."""
    channels = channels_of(head_size)
    return [
        build("backward_delta", head_size),
        *(build("forward", head_size, tiles) for tiles in FORWARD[channels]),
        *(
            build("backward_keys", head_size, tiles, DQ=way)
            for way, table in BACKWARD_KEYS.items()
            for tiles in table[channels]
        ),
        *(build("backward_queries", head_size, tiles) for tiles in BACKWARD_QUERIES[channels]),
    ]


VARIANT = KernelVariant("mma", (BFLOAT16,), accepts, forward, backward)

BUILDS: tuple[Build, ...] = tuple(each for size in (24, 64, 96, 128) for each in builds(size))
