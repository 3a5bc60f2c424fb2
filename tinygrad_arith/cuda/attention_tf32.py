"""Kernel variant of attention on tensor cores for float32, by the kernels attention_tf32_*.cu.

`Problem.precision` chooses how float32 is multiplied: "tf32" by one product of factors rounded to 11 bits, "3xtf32" by
three products of factors cut in two, which is as exact as float32 itself. See kernels/attention_tf32.cuh.

The backward has no atomics: one kernel for the gradients of keys and values, one for those of queries. All sums have a
fixed order.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .attention import KernelVariant, Problem, scales_after_the_maximum, view_arguments
from .source import Build, cupy

FLOAT32 = np.dtype(np.float32)
PRODUCTS = {"tf32": 1, "3xtf32": 3}  # on tensor cores for one of float32, by precision
MOST_CHANNELS = 128
CHANNEL_STEP = 32  # head sizes are filled up to a multiple of it in shared memory: a whole sweep of the banks
ROW_PADDING = 128  # queries; a multiple of every tile of queries
TOGETHER_BYTES = 16 << 20  # of what blocks that run together read again and again: it should stay in the L2 cache
MOST_GRID = 65535  # blocks in the second and third direction


class ForwardTiles(NamedTuple):
    """Sizes of attention_tf32_forward.cu, and how many blocks share a multiprocessor."""

    queries: int
    keys: int
    warps: int
    blocks: int

    def shared(self, channels: int) -> int:
        """Bytes of shared memory: the queries, two stages of keys and values."""
        return 4 * channels * (self.queries + 4 * self.keys)


class KeyTiles(NamedTuple):
    """Sizes of attention_tf32_backward_keys.cu."""

    key_rows: int
    queries: int
    chunk: int
    warps: int
    blocks: int

    @property
    def keys(self) -> int:
        return self.key_rows * self.warps

    def shared(self, channels: int) -> int:
        """Bytes: keys and values, two stages of queries, dout and two numbers a row."""
        return 4 * channels * (2 * self.keys + 4 * self.queries) + 2 * 8 * self.queries


class QueryTiles(NamedTuple):
    """Sizes of attention_tf32_backward_queries.cu."""

    queries: int
    keys: int
    chunk: int
    warps: int
    blocks: int

    def shared(self, channels: int) -> int:
        """Bytes: queries and dout, two stages of keys and values."""
        return 4 * channels * (2 * self.queries + 4 * self.keys)


class Tiles(NamedTuple):
    """The sizes of all kernels for one head size."""

    forward: ForwardTiles
    keys: KeyTiles
    queries: QueryTiles

    def shared(self, channels: int) -> int:
        """The most bytes that a kernel takes."""
        return max(tiles.shared(channels) for tiles in self)


# By products and channels. A warp's rows times channels are the sums in its registers: the wider, the fewer rows. Three
# products keep twice the factors and their own sums beside those.
TILES = {
    1: {
        32: Tiles(ForwardTiles(128, 64, 4, 2), KeyTiles(32, 32, 32, 4, 2), QueryTiles(128, 64, 32, 4, 2)),
        64: Tiles(ForwardTiles(128, 32, 4, 2), KeyTiles(32, 32, 16, 4, 2), QueryTiles(128, 32, 32, 4, 2)),
        96: Tiles(ForwardTiles(128, 32, 4, 2), KeyTiles(16, 32, 16, 4, 2), QueryTiles(64, 32, 32, 4, 2)),
        128: Tiles(ForwardTiles(64, 32, 4, 2), KeyTiles(16, 16, 16, 4, 2), QueryTiles(64, 16, 16, 4, 2)),
    },
    3: {
        32: Tiles(ForwardTiles(128, 64, 4, 2), KeyTiles(32, 32, 16, 4, 2), QueryTiles(128, 64, 16, 4, 2)),
        64: Tiles(ForwardTiles(128, 32, 4, 2), KeyTiles(16, 32, 16, 4, 3), QueryTiles(128, 32, 16, 4, 2)),
        96: Tiles(ForwardTiles(64, 32, 4, 2), KeyTiles(16, 32, 16, 4, 2), QueryTiles(64, 32, 16, 4, 2)),
        128: Tiles(ForwardTiles(64, 16, 4, 2), KeyTiles(16, 16, 16, 4, 2), QueryTiles(64, 16, 16, 4, 2)),
    },
}


# From this compute capability on its compiler has no registers for the forward's tiles, by products and channels:
BLACKWELL, BLACKWELL_FORWARD = 100, {(3, 32): ForwardTiles(128, 32, 4, 2)}


def channels_of(head_size: int) -> int:
    """The head size in shared memory."""
    return -(-head_size // CHANNEL_STEP) * CHANNEL_STEP


def tiles_for(products: int, channels: int, arch: int) -> Tiles:
    """The sizes on a compute capability."""
    tiles = TILES[products][channels]
    if arch >= BLACKWELL:
        tiles = tiles._replace(forward=BLACKWELL_FORWARD.get((products, channels), tiles.forward))
    return tiles


def tiles_of(problem: Problem) -> Tiles:
    """The sizes that a problem is computed with."""
    return tiles_for(PRODUCTS[problem.precision], channels_of(problem.head_size), problem.arch)


def build(file: str, head_size: int, products: int, tiles: Any = None) -> Build:
    """A file of kernels/ for a head size, a number of products and sizes of tiles."""
    sizes = {} if tiles is None else tiles._asdict()
    defines = {"HEAD_SIZE": head_size, "PRODUCTS": products, **{name.upper(): value for name, value in sizes.items()}}
    return Build(f"attention_tf32_{file}.cu", tuple(defines.items()))


def builds(head_size: int, products: int) -> list[Build]:
    """All builds for a head size and a number of products."""
    channels = channels_of(head_size)
    early, late = (tiles_for(products, channels, arch) for arch in (80, BLACKWELL))
    forwards = [build("forward", head_size, products, tiles.forward) for tiles in (early, late)]
    if early != late:
        forwards = [replace(forwards[0], below_arch=BLACKWELL), replace(forwards[1], least_arch=BLACKWELL)]
    return [
        *dict.fromkeys(forwards),
        build("backward_delta", head_size, 1),
        build("backward_keys", head_size, products, early.keys),
        build("backward_queries", head_size, products, early.queries),
    ]


def accepts(problem: Problem) -> bool:
    """float32 that tensor cores may multiply, rows of whole multiples of 16 bytes, tiles that fit shared memory."""
    if problem.dtype != FLOAT32 or problem.precision not in PRODUCTS or problem.arch < 80:
        return False
    if problem.head_size % 4 or problem.head_size > MOST_CHANNELS:
        return False
    if not scales_after_the_maximum(problem) or (problem.causal and problem.queries > problem.keys):
        return False
    shared = tiles_of(problem).shared(channels_of(problem.head_size))
    return shared <= problem.most_shared and max(problem.batch, problem.heads) <= MOST_GRID


def together(problem: Problem, rows: int, heads: int) -> int:
    """How many heads the blocks that run at the same time work on, if each reads `rows` rows of two arrays."""
    return min(max(TOGETHER_BYTES // (2 * rows * problem.head_size * FLOAT32.itemsize), 1), problem.batch * heads)


def launch(problem: Problem, file: str, tiles: Any, blocks: int, *arguments: Any) -> None:
    """Launches the kernel of a file of tiles."""
    kernel = build(file, problem.head_size, PRODUCTS[problem.precision], tiles).kernel(f"attention_tf32_{file}")
    kernel(blocks, 32 * tiles.warps, *arguments, shared=tiles.shared(channels_of(problem.head_size)))


def forward(problem: Problem, q, k, v, out, lse) -> None:
    """See `attention.KernelVariant`."""
    tiles = tiles_of(problem).forward
    launch(
        problem, "forward", tiles, -(-problem.queries // tiles.queries) * problem.batch * problem.heads,
        *view_arguments(q, k, v, out), lse, problem.key_mask,
        problem.batch, problem.queries, problem.keys, problem.heads, problem.kv_heads,
        problem.causal, problem.scale, together(problem, problem.keys, problem.heads),
    )  # fmt: skip


def backward(problem: Problem, dout, q, k, v, out, lse, dq, dk, dv) -> None:
    """See `attention.KernelVariant`."""
    lse_delta = lse_and_delta(problem, dout, out, lse)  # (B, NH, padded, 2)
    backward_keys(problem, dout, q, k, v, lse_delta, dk, dv)
    backward_queries(problem, dout, q, k, v, lse_delta, dq)


def lse_and_delta(problem: Problem, dout, out, lse):
    """For each query its lse and delta, the inner product of its rows of out and dout: (B, NH, padded, 2) float32."""
    padded = -(-problem.queries // ROW_PADDING) * ROW_PADDING
    lse_delta = cupy.empty((problem.batch, problem.heads, padded, 2), np.float32)  # (B, NH, padded, 2)
    lanes = max(4, 1 << (problem.head_size // 4 - 1).bit_length())
    kernel = build("backward_delta", problem.head_size, 1).kernel("attention_tf32_backward_delta")
    grid = (-(-padded * lanes // 256), problem.heads, problem.batch)
    kernel(grid, 256, *view_arguments(out, dout), lse, lse_delta, problem.queries, padded)
    return lse_delta


def backward_keys(problem: Problem, dout, q, k, v, lse_delta, dk, dv) -> None:
    """Writes dk and dv."""
    tiles = tiles_of(problem).keys
    group = problem.heads // problem.kv_heads
    launch(
        problem, "backward_keys", tiles, -(-problem.keys // tiles.keys) * problem.batch * problem.kv_heads,
        *view_arguments(q, k, v, dout), lse_delta, *view_arguments(dk, dv), problem.key_mask,
        problem.batch, problem.queries, lse_delta.shape[2], problem.keys, problem.heads, problem.kv_heads,
        problem.causal, problem.scale, together(problem, group * problem.queries, problem.kv_heads),
    )  # fmt: skip


def backward_queries(problem: Problem, dout, q, k, v, lse_delta, dq) -> None:
    """Writes dq."""
    tiles = tiles_of(problem).queries
    launch(
        problem, "backward_queries", tiles, -(-problem.queries // tiles.queries) * problem.batch * problem.heads,
        *view_arguments(q, k, v, dout), lse_delta, *view_arguments(dq), problem.key_mask,
        problem.batch, problem.queries, lse_delta.shape[2], problem.keys, problem.heads, problem.kv_heads,
        problem.causal, problem.scale, together(problem, problem.keys, problem.heads),
    )  # fmt: skip


VARIANT = KernelVariant("tf32", (FLOAT32,), accepts, forward, backward)

BUILDS: tuple[Build, ...] = tuple(
    each for size in (24, 64, 96, 128) for products in PRODUCTS.values() for each in builds(size, products)
)
