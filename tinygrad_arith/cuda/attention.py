"""Attention on the GPU: several kernel variants, from the plain formula to tensor cores, with one interface.

A kernel variant is a file of kernels/ and a module here that launches it. This module holds what all variants share:
what a problem is, in which order the variants are asked, the arrays they get, and the cache between forward and
backward. What is saved is what `ops.attention_blockwise` saves: the output and one number a query.
"""

import functools
import importlib
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from ..ops.packed_attention import unpack
from ..ops.registry import Implementation, forget_plans, register
from .precision import float32_matmul_precision
from .source import cupy, strided

FLOAT32, BFLOAT16 = np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16)
ELEMENTS = {FLOAT32: "f32", BFLOAT16: "bf16"}  # what kernels call them
# In the order in which they are asked: the first that accepts runs, mostly the fastest
KERNEL_VARIANTS = ("small_tensor", "small", "mma", "tf32", "blockwise", "gemm", "naive")
HEAD_SIZES = (16, 24, 32, 48, 64, 96, 128)  # a problem with another one may be padded to the next of these
LEAST_PADDED_KEYS = 128  # with fewer, the copies cost more time than a faster variant saves
PRECISIONS = {"tf32": "tf32", "float32": "3xtf32"}  # of a problem, by the setting of precision.py
ALIGNMENT = 16  # bytes of the widest load
MOST_STEP = 2**31 - 1  # elements from one position of a view to the next: kernels have 32 bits for it
LEAST_SCALE, MOST_SCALE = 1e-30, 100.0  # of scores, for kernels that scale late: see `scales_after_the_maximum`
MOST_SHARED = {80: 163, 87: 163, 90: 227, 100: 227, 103: 227, 110: 227}  # KiB for a block, by architecture
LEAST_SHARED = 99  # KiB: every other architecture from 80 on


class Problem(NamedTuple):
    """What a kernel variant needs to know to accept or refuse a problem, and to launch.

    causal:        query i sees the keys j <= i + (keys - queries)
    key_mask:      (B, Tk) bool on the device, False hides a key from everyone; None hides none
    arch:          compute capability of the device, times ten
    deterministic: the same bits every time are asked for: no sum whose order may change
    precision:     of float32 GEMM: "tf32", "3xtf32" (three of those, nearly float32) or "float32"
    """

    batch: int
    queries: int
    keys: int
    heads: int
    kv_heads: int
    head_size: int
    causal: bool
    scale: float
    key_mask: Any
    dtype: np.dtype
    arch: int
    deterministic: bool
    precision: str

    @property
    def most_shared(self) -> int:
        """Bytes of shared memory that a block may have."""
        return MOST_SHARED.get(self.arch, LEAST_SHARED) * 1024


class KernelVariant(NamedTuple):
    """One implementation of attention, forward and backward.

    accepts:  accepts(problem) -> bool
    forward:  forward(problem, q, k, v, out, lse), writes out and lse
    backward: backward(problem, dout, q, k, v, out, lse, dq, dk, dv), writes all of dq, dk and dv

    q, out, dout, dq are (B, Tq, NH, HS), k, v, dk, dv (B, Tk, NHkv, HS): views with any strides, but the last axis is
    contiguous, positions are at most MOST_STEP elements apart, and if a row of HS numbers is a multiple of 16 bytes
    long, every row begins at such a multiple.
    lse (B, NH, Tq) float32: the log-sum-exp of the scaled scores; -inf for a query that sees nothing, whose out is 0.
    """

    name: str
    dtypes: tuple[np.dtype, ...]
    accepts: Callable[[Problem], bool]
    forward: Callable[..., None]
    backward: Callable[..., None]


_deterministic = True


def set_deterministic(deterministic: bool) -> None:
    """Whether attention must give the same bits every time, for the whole process."""
    global _deterministic
    _deterministic = deterministic
    forget_plans()  # which kernel takes a problem may depend on it


def is_deterministic() -> bool:
    """The setting."""
    return _deterministic


@functools.cache
def kernel_variant(name: str) -> KernelVariant:
    """A kernel variant by its name. Its module imports this one, so it is loaded at the first use."""
    return importlib.import_module(f".attention_{name}", __package__).VARIANT


def kernel_variants(problem: Problem) -> list[KernelVariant]:
    """All variants that accept a problem without padding, in the order of KERNEL_VARIANTS."""
    return [kernel_variant(name) for name in KERNEL_VARIANTS if _takes(kernel_variant(name), problem)]


def _takes(candidate: KernelVariant, problem: Problem) -> bool:
    return problem.dtype in candidate.dtypes and candidate.accepts(problem)


def head_size_for(candidate: KernelVariant, problem: Problem) -> int | None:
    """The head size at which a variant accepts a problem: the problem's own or the next of HEAD_SIZES; None if neither.

    Channels of zeros add nothing to any product, so the padded problem has the same scores and, in the channels that
    count, the same output and gradients.
    """
    larger = [size for size in HEAD_SIZES if size > problem.head_size and problem.keys >= LEAST_PADDED_KEYS]
    for size in (problem.head_size, *larger[:1]):
        if _takes(candidate, problem._replace(head_size=size)):
            return size
    return None


def problem_of(q, k, *, causal=True, key_mask=None, scale=None) -> Problem:  # q (B, Tq, NH, HS), k (B, Tk, NHkv, HS)
    """The problem that these arrays and options pose on the current device, under the present settings."""
    batch, queries, heads, head_size = q.shape
    scale = 1.0 / math.sqrt(head_size) if scale is None else float(scale)
    arch = int(cupy.cuda.Device().compute_capability)
    return Problem(
        batch, queries, k.shape[1], heads, k.shape[2], head_size, bool(causal), scale, key_mask, q.dtype, arch,
        _deterministic, PRECISIONS[float32_matmul_precision()],
    )  # fmt: skip


def mask_on_device(k, key_mask, lengths):  # k (B, Tk, NHkv, HS)
    """(B, Tk) bool, contiguous, on the device; None where nothing is hidden.

    A copy: the backward needs it too, and whose it is may change it before.
    """
    if lengths is not None:
        key_mask = cupy.arange(k.shape[1]) < cupy.asarray(lengths)[:, None]  # (B, Tk)
    return None if key_mask is None else cupy.array(key_mask, dtype=bool, order="C")


def readable(x, head_size: int):  # (B, T, heads, HS)
    """The array as `KernelVariant` wants its arrays: itself where it lies so, else a copy; (B, T, heads, head_size)."""
    if x.shape[3] != head_size:
        padded = cupy.zeros((*x.shape[:3], head_size), x.dtype)  # (B, T, heads, head_size)
        padded[..., : x.shape[3]] = x
        return padded
    return x if _lies_well(x) else cupy.array(x, order="C")


def _lies_well(x) -> bool:  # (B, T, heads, HS)
    if x.shape[3] > 1 and x.strides[3] != x.itemsize:
        return False
    if abs(x.strides[1]) > MOST_STEP * x.itemsize:
        return False
    if x.shape[3] * x.itemsize % ALIGNMENT:
        return True
    strides = [stride for stride, size in zip(x.strides[:3], x.shape, strict=False) if size > 1]
    return all(number % ALIGNMENT == 0 for number in (x.data.ptr, *strides))


def scales_after_the_maximum(problem: Problem) -> bool:
    """Whether the largest score can be found before scores are scaled, and one instruction scale and subtract.

    Not for a scale of 0 or below: the largest would be another, and hidden scores, -inf, become NaN. Nor for a huge
    one: that instruction subtracts a rounded product from one that is not. All exponentials of a row are off by one
    factor then, which is no harm until it overflows, at scaled scores of 1e9.
    """
    return LEAST_SCALE <= problem.scale <= MOST_SCALE


def view_arguments(*arrays) -> list[Any]:
    """Each array and its strides in elements by batch, position and head: four arguments of a kernel."""
    arguments: list[Any] = []
    for array in arrays:
        arguments.append(strided(array))
        arguments += [stride // array.itemsize for stride in array.strides[:3]]
    return arguments


class KernelAttentionCache(NamedTuple):
    """Saved: the output and one number a query, both as the variant wrote them. q, k, v by reference.

    If the variant runs at a padded head size, all of these have that one.
    """

    variant: KernelVariant
    problem: Problem
    q: Any  # (B, Tq, NH, HS)
    k: Any  # (B, Tk, NHkv, HS)
    v: Any  # (B, Tk, NHkv, HS)
    out: Any  # (B, Tq, NH, HS)
    lse: Any  # (B, NH, Tq) float32
    head_size: int  # that of the caller


def attention_forward(name, q, k, v, *, causal=True, key_mask=None, lengths=None, scale=None):
    """See `ops.attention`, by the kernel variant of that name."""
    key_mask = mask_on_device(k, key_mask, lengths)
    problem, head_size = problem_of(q, k, causal=causal, key_mask=key_mask, scale=scale), q.shape[3]
    padded = head_size_for(kernel_variant(name), problem)
    if padded is None:
        raise ValueError(f"the attention kernel variant {name} does not take {problem}")
    problem = problem._replace(head_size=padded)
    q, k, v = (readable(x, padded) for x in (q, k, v))
    out = cupy.empty(q.shape, q.dtype)  # (B, Tq, NH, HS)
    lse = cupy.empty((problem.batch, problem.heads, problem.queries), np.float32)  # (B, NH, Tq)
    kernel_variant(name).forward(problem, q, k, v, out, lse)
    cache = KernelAttentionCache(kernel_variant(name), problem, q, k, v, out, lse, head_size)
    return (out if padded == head_size else cupy.array(out[..., :head_size], order="C")), cache


def attention_backward(dout, cache, *, needs, into=None, owned=False):  # dout (B, Tq, NH, HS)
    """See `ops.attention`."""
    gradients = [cupy.empty((*x.shape[:3], cache.head_size), x.dtype) for x in (cache.q, cache.k, cache.v)]
    write_gradients(dout, cache, *gradients)
    return tuple(gradients)


def packed_attention_forward(
    name, qkv, heads, *, kv_heads=None, causal=True, key_mask=None, lengths=None, scale=None
):  # qkv (B, T, (NH + 2 NHkv) HS)
    """See `ops.packed_attention`; qkv is read where it lies, by the kernel variant of that name."""
    q, k, v = unpack(qkv, heads, kv_heads)
    out, cache = attention_forward(name, q, k, v, causal=causal, key_mask=key_mask, lengths=lengths, scale=scale)
    return out.reshape(*qkv.shape[:2], heads * q.shape[3]), cache


def packed_attention_backward(dout, cache, *, needs, into=None, owned=False):  # dout (B, T, NH HS)
    """See `ops.packed_attention`; dq, dk and dv are written side by side into one array."""
    problem = cache.problem
    rows, parts = (problem.batch, problem.queries), problem.heads + 2 * problem.kv_heads
    dqkv = cupy.empty((*rows, parts * cache.head_size), cache.q.dtype)  # (B, T, (NH + 2 NHkv) HS)
    dout = dout.reshape(*rows, problem.heads, cache.head_size)  # (B, T, NH, HS)
    write_gradients(dout, cache, *unpack(dqkv, problem.heads, problem.kv_heads))
    return (dqkv,)


def write_gradients(dout, cache, dq, dk, dv) -> None:  # dout (B, Tq, NH, HS)
    """Has the variant fill dq, dk and dv, through padded arrays if it runs at another head size."""
    problem, inner = cache.problem, (dq, dk, dv)
    if problem.head_size != cache.head_size:
        inner = tuple(cupy.empty(x.shape, x.dtype) for x in (cache.q, cache.k, cache.v))
    dout = readable(dout, problem.head_size)
    cache.variant.backward(problem, dout, cache.q, cache.k, cache.v, cache.out, cache.lse, *inner)
    for gradient, padded in zip((dq, dk, dv), inner, strict=True):
        if padded is not gradient:
            gradient[...] = padded[..., : cache.head_size]


def _accepts(name, q, k, v, *, causal=True, key_mask=None, lengths=None, scale=None) -> bool:
    """Whether a variant accepts these, padded or not. Nothing is launched for empty arrays or without keys."""
    key_mask = lengths if key_mask is None else key_mask  # here it matters only that something may be hidden
    if not (q.size and k.size):
        return False
    return (
        head_size_for(kernel_variant(name), problem_of(q, k, causal=causal, key_mask=key_mask, scale=scale)) is not None
    )


def _accepts_packed(name, qkv, heads, *, kv_heads=None, **options) -> bool:
    return qkv.size > 0 and _accepts(name, *unpack(qkv, heads, kv_heads), **options)


def _register(operation: str, name: str, forward, backward, accepts) -> None:
    forward, accepts = functools.partial(forward, name), functools.partial(accepts, name)
    register(Implementation(operation, name, "cuda", (FLOAT32, BFLOAT16), forward, backward, accepts))


for _name in reversed(KERNEL_VARIANTS):  # the one registered last is asked first
    _register("attention", _name, attention_forward, attention_backward, _accepts)
    _register("packed_attention", _name, packed_attention_forward, packed_attention_backward, _accepts_packed)
