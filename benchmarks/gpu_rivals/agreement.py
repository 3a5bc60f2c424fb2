"""Whether a contestant computes attention: its error beside that of a plain implementation in the same precision.

The rule is FlashAttention's: against float64 on the same rounded inputs, an error at most twice (output) or three times
(gradients) that of the formulas written out plainly in the contestant's own precision.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import cupy
import torch

from tinygrad_arith.ops.attention import attention_backward, attention_forward

from .contestants import Inputs, as_cupy, as_torch

NAMES = ("out", "dq", "dk", "dv")
ALLOWED = (2.0, 3.0, 3.0, 3.0)  # times the plain implementation's error
LAST_DIGITS = {torch.bfloat16: 0.5, torch.float32: 8.0}  # allowed beside that, in eps of the largest entry


class Referee:
    """Knows the right results of the first and the last head; a whole batch in float64 would not fit."""

    def __init__(self, inputs: Inputs) -> None:
        batch, _, heads, _ = inputs.q.shape
        self.inputs = inputs
        self.heads = sorted({(0, 0), (batch - 1, heads - 1)})
        self.right = {where: reference(*(head(x, where) for x in inputs)) for where in self.heads}
        self._plain: dict[tuple, list[Any]] = {}

    def errors(self, results: list[Any], precision: str) -> dict[str, dict[str, float]]:
        """For each result the largest error and the largest that is allowed; what is not finite is all error."""
        found: dict[str, dict[str, float]] = {}
        for i, (name, result, factor) in enumerate(zip(NAMES, results, ALLOWED, strict=True)):
            error, bound = (0.0 if bool(torch.isfinite(result).all()) else math.inf), 0.0
            for where in self.heads:
                right = self.right[where][i]  # (T, HS)
                rounding = LAST_DIGITS[result.dtype] * torch.finfo(result.dtype).eps * right.abs().max().item()
                error = max(error, largest_difference(head(result, where), right))
                bound = max(bound, factor * largest_difference(self.plain(where, precision)[i], right) + rounding)
            found[name] = {"error": error, "allowed": bound}
        return found

    def plain(self, where: tuple[int, int], precision: str) -> list[Any]:
        """The plain implementation's results on one head."""
        if (where, precision) not in self._plain:
            with float32_precision(precision):
                self._plain[where, precision] = plain(*(head(x, where) for x in self.inputs))
        return self._plain[where, precision]


def complaint(errors: dict[str, dict[str, float]]) -> str:
    """What is wrong, in words; empty if nothing is."""
    wrong = [
        f"{name} is off by {found['error']:.3g}, allowed is {found['allowed']:.3g}"
        for name, found in errors.items()
        if not found["error"] <= found["allowed"]
    ]
    return "; ".join(wrong)


def head(x: Any, where: tuple[int, int]) -> Any:  # (B, T, NH, HS) -> (T, HS)
    """One head of one sequence."""
    return x.detach()[where[0], :, where[1]]


def largest_difference(x: Any, right: Any) -> float:
    """In float64."""
    return (x.double() - right).abs().max().item()


def reference(q: Any, k: Any, v: Any, dy: Any) -> list[Any]:  # (T, HS) each
    """out, dq, dk, dv by `ops.attention` in float64."""
    q, k, v, dy = (as_cupy(x.double().contiguous())[None, :, None] for x in (q, k, v, dy))  # (1, T, 1, HS)
    out, cache = attention_forward(q, k, v)
    results = [as_torch(cupy.ascontiguousarray(x[0, :, 0])) for x in (out, *attention_backward(dy, cache))]
    del cache
    cupy.cuda.Device().synchronize()
    cupy.get_default_memory_pool().free_all_blocks()  # the T x T arrays
    return results


def plain(q: Any, k: Any, v: Any, dy: Any) -> list[Any]:  # (T, HS) each
    """out, dq, dk, dv by the reference's formulas, every T x T array rounded to the inputs' dtype."""
    dtype, scale = q.dtype, 1 / math.sqrt(q.shape[1])
    hidden = torch.ones(len(q), len(k), dtype=torch.bool, device=q.device).triu(1)  # (T, T)
    scores = ((q @ k.T).float() * scale).masked_fill(hidden, -math.inf)  # (T, T)
    p = torch.softmax(scores, dim=-1).to(dtype)  # (T, T)
    out = p @ v  # (T, HS)
    row_sum = (dy.float() * out.float()).sum(-1, keepdim=True)  # (T, 1)
    dscores = (p.float() * ((dy @ v.T).float() - row_sum) * scale).to(dtype)  # (T, T)
    return [out, dscores @ k, dscores.T @ q, p.T @ dy]


@contextlib.contextmanager
def float32_precision(precision: str) -> Iterator[None]:
    """PyTorch's own GEMM of float32: TF32 or exact."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
