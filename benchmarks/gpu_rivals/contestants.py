"""Who takes part: every kernel variant of ours that accepts a shape, and the backends of PyTorch's attention.

All of them read the same memory, (B, T, NH, HS): PyTorch and CuPy hand each other arrays without a copy.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import cupy
import ml_dtypes
import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tinygrad_arith.cuda.attention import KernelVariant, Problem, kernel_variants

from .shapes import NAIVE_LIMIT, Shape

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
BACKENDS = {
    "FlashAttention-2": SDPBackend.FLASH_ATTENTION,
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
}
DETERMINISTIC = "FlashAttention-2, deterministic"
WITH_ATOMICS = ("mma",)  # variants whose backward can also add up in no fixed order
SEED = 5


class Inputs(NamedTuple):
    """What everybody computes with: tensors on the GPU; q, k and v ask for gradients."""

    q: Any  # (B, T, NH, HS)
    k: Any  # (B, T, NH, HS)
    v: Any  # (B, T, NH, HS)
    dy: Any  # (B, T, NH, HS)


def make_inputs(shape: Shape) -> Inputs:
    """Normal numbers, the same every time."""
    generator = torch.Generator("cuda").manual_seed(SEED)
    size = (shape.batch, shape.positions, shape.heads, shape.head_size)
    dtype = getattr(torch, shape.dtype)
    q, k, v, dy = (torch.randn(size, generator=generator, device="cuda").to(dtype) for _ in range(4))
    return Inputs(*(x.requires_grad_() for x in (q, k, v)), dy)


def as_cupy(tensor: Any) -> Any:
    """The same memory as a CuPy array; bfloat16 crosses as 16-bit integers."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return cupy.from_dlpack(tensor.view(torch.int16)).view(BFLOAT16)
    return cupy.from_dlpack(tensor)


def as_torch(array: Any) -> Any:
    """The same memory as a tensor."""
    if array.dtype == BFLOAT16:
        return torch.from_dlpack(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_dlpack(array)


@dataclass
class Contestant:
    """One way to compute attention, on the current stream.

    forward, backward: launch; the backward may be called once `prepare` has run
    results:           out, dq, dk, dv of a fresh forward and backward, as tensors (B, T, NH, HS)
    precision:         how it multiplies float32: "tf32", "3xtf32" or "float32"
    """

    name: str
    ours: bool
    forward: Callable[[], Any]
    prepare: Callable[[], None]
    backward: Callable[[], Any]
    results: Callable[[], list[Any]]
    precision: str = "float32"


def our_contestants(shape: Shape, inputs: Inputs) -> tuple[list[Contestant], dict[str, str]]:
    """One for each kernel variant and way to run it; and the names of those left out, with the reason."""
    found, skipped = {}, {}
    exact = {variant.name for variant in kernel_variants(problem_of(shape, "float32", deterministic=True))}
    for precision, deterministic in ways(shape):
        problem = problem_of(shape, precision, deterministic)
        for variant in kernel_variants(problem):
            if precision != "float32" and variant.name in exact:
                continue  # it multiplies exactly whatever it is asked for
            if not deterministic and variant.name not in WITH_ATOMICS:
                continue
            name = name_of(variant, problem)
            if variant.name == "naive" and shape.naive_flop > NAIVE_LIMIT:
                skipped[name] = "each number of a query computes all of its scores: it would take seconds"
                continue
            found[name] = variant_contestant(name, variant, problem, inputs)
    return list(found.values()), skipped


def ways(shape: Shape) -> list[tuple[str, bool]]:
    """(precision, deterministic) to try: bfloat16 has one precision, and float32 is not timed with atomics."""
    if shape.dtype == "bfloat16":
        return [("float32", True), ("float32", False)]
    return [("float32", True), ("3xtf32", True), ("tf32", True)]


def problem_of(shape: Shape, precision: str, deterministic: bool) -> Problem:
    """What the kernel variants are asked."""
    batch, heads, positions, head_size, _ = shape
    return Problem(
        batch=batch, queries=positions, keys=positions, heads=heads, kv_heads=heads, head_size=head_size,
        causal=True, scale=1 / math.sqrt(head_size), key_mask=None,
        dtype=BFLOAT16 if shape.dtype == "bfloat16" else np.dtype(np.float32),
        arch=int(cupy.cuda.Device().compute_capability), deterministic=deterministic, precision=precision,
    )  # fmt: skip


def name_of(variant: KernelVariant, problem: Problem) -> str:
    """The variant, and the way it runs where it has several."""
    way = [] if problem.precision == "float32" else [problem.precision]
    way += [] if problem.deterministic else ["atomics"]
    return ", ".join([variant.name, *way])


def variant_contestant(name: str, variant: KernelVariant, problem: Problem, inputs: Inputs) -> Contestant:
    """A kernel variant with its arrays."""
    q, k, v, dy = (as_cupy(x) for x in inputs)  # (B, T, NH, HS) each
    out, dq, dk, dv = (cupy.empty_like(x) for x in (q, q, k, v))  # (B, T, NH, HS) each
    lse = cupy.empty((problem.batch, problem.heads, problem.queries), np.float32)  # (B, NH, T)

    def forward() -> None:
        variant.forward(problem, q, k, v, out, lse)

    def backward() -> None:
        variant.backward(problem, dy, q, k, v, out, lse, dq, dk, dv)

    def results() -> list[Any]:
        for array in (out, lse, dq, dk, dv):
            as_torch(array).fill_(math.nan)  # what a variant forgets to write is seen
        forward()
        backward()
        return [as_torch(x).clone() for x in (out, dq, dk, dv)]

    return Contestant(name, True, forward, forward, backward, results, problem.precision)


def torch_contestants(shape: Shape, inputs: Inputs) -> list[Contestant]:
    """PyTorch's backends; those that do not take a shape say so when they are asked for results."""
    names = [*BACKENDS, DETERMINISTIC] if shape.dtype == "bfloat16" else ["memory-efficient"]
    return [torch_contestant(name, inputs) for name in names]


def torch_contestant(name: str, inputs: Inputs) -> Contestant:
    """One backend of `scaled_dot_product_attention`; its backward is that of PyTorch's autograd."""
    backend = BACKENDS["FlashAttention-2" if name == DETERMINISTIC else name]
    leaves, kept = (inputs.q, inputs.k, inputs.v), []

    def forward() -> Any:  # (B, T, NH, HS)
        q, k, v = (x.transpose(1, 2) for x in leaves)  # (B, NH, T, HS) each, views
        with sdpa_kernel(backend):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)

    def prepare() -> None:
        kept[:] = [forward()]

    def backward() -> Any:
        with deterministic_algorithms(name == DETERMINISTIC):
            return torch.autograd.grad(kept[0], leaves, inputs.dy, retain_graph=True)

    def results() -> list[Any]:
        prepare()
        return [kept[0].detach(), *backward()]

    return Contestant(name, False, forward, prepare, backward, results)


@contextlib.contextmanager
def deterministic_algorithms(wanted: bool) -> Iterator[None]:
    """PyTorch's own switch, without its habit of filling every new array with NaN."""
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.use_deterministic_algorithms(wanted)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
