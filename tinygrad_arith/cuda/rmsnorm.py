"""Root-mean-square normalisation on the GPU: one kernel forward; two backward, as for layer normalisation."""

from ..ops.fast import RMSNormInputCache, destinations
from .elements import BFLOAT16, FLOAT32, THREADS, aligned, contiguous_like, quotient, rows_of
from .layernorm import MOST_CHANNELS, blocks_of_backward, build_for
from .passes import finish_column_sums
from .source import cupy

FILE = "rmsnorm.cu"


def rmsnorm_forward(x, weight, eps=1e-5):
    """See `ops.rmsnorm`."""
    rows, weight = rows_of(x), aligned(weight)  # (N, C), (C,)
    (count, channels), y = rows.shape, cupy.empty_like(rows)  # (N, C)
    rrms = cupy.empty(count, dtype=FLOAT32)  # (N,)
    build, at_once = build_for(rows.dtype, channels, FILE)
    build.kernel("rmsnorm_forward")(quotient(count, at_once), THREADS, rows, weight, eps, y, rrms, count, channels)
    return y.reshape(x.shape), RMSNormInputCache(rows, rrms, weight)


def rmsnorm_backward(dy, cache, *, needs, into=None, owned=False):
    """See `ops.rmsnorm`."""
    x, rrms, weight = cache
    (count, channels), dx = x.shape, cupy.empty_like(x)  # (N, C)
    build, at_once = build_for(x.dtype, channels, FILE)
    blocks = blocks_of_backward(count, at_once)
    partial = cupy.empty((blocks, channels), dtype=FLOAT32)  # (blocks, C)
    arrays = rows_of(dy), x, rrms, weight, dx, partial
    build.kernel("rmsnorm_backward")(blocks, THREADS, *arrays, count, channels)
    (dweight,) = destinations(into and into[1:], (weight,), contiguous_like)
    finish_column_sums(partial, dweight)
    return dx.reshape(dy.shape), dweight[0]


def accepts(x, weight, eps=1e-5) -> bool:
    """Rows that fit into the registers of a block."""
    return 0 < x.shape[-1] <= MOST_CHANNELS


BUILDS = tuple(
    build_for(dtype, channels, FILE)[0]
    for dtype, channels in (
        (FLOAT32, 128),
        (BFLOAT16, 768),
        (FLOAT32, 1024),
        (BFLOAT16, 1024),
        (FLOAT32, 1023),
        (FLOAT32, 8192),
        (BFLOAT16, 8191),
    )
)
