"""Kernel variant of attention: the plain formula, one thread for each number of the result. Takes every problem."""

from .attention import BFLOAT16, ELEMENTS, FLOAT32, KernelVariant, Problem, view_arguments
from .attention_gemm import warn_of_wide_heads
from .source import Build

THREADS = 256


def build_for(dtype) -> Build:
    """The build for a dtype; sizes are arguments."""
    return Build("attention_naive.cu", (("ELEMENT", ELEMENTS[dtype]),))


def forward(problem: Problem, q, k, v, out, lse) -> None:
    """See `KernelVariant`."""
    warn_of_wide_heads(problem.head_size)
    launch(problem, "naive_forward", out.size, view_arguments(q, k, v, out), lse)


def backward(problem: Problem, dout, q, k, v, out, lse, dq, dk, dv) -> None:
    """See `KernelVariant`. Two kernels: every number of dq, dk and dv has one thread that owns it."""
    views = view_arguments(dout, q, k, v, out)
    launch(problem, "naive_backward_queries", dq.size, views + view_arguments(dq), lse)
    launch(problem, "naive_backward_keys", dk.size, views + view_arguments(dk, dv), lse)


def launch(problem: Problem, kernel: str, results: int, views: list, lse) -> None:
    """One thread for each of the results."""
    p = problem
    sizes = p.batch, p.queries, p.keys, p.heads, p.kv_heads, p.head_size
    build_for(p.dtype).kernel(kernel)(
        -(-results // THREADS), THREADS, *views, lse, p.key_mask, *sizes, p.causal, p.scale
    )  # fmt: skip


VARIANT = KernelVariant("naive", (FLOAT32, BFLOAT16), lambda problem: True, forward, backward)
BUILDS = (build_for(FLOAT32), build_for(BFLOAT16))
