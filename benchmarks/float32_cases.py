"""Operations on inputs that try float32: large offsets, long sums, scales near the ends of its range.

Each case is one operation of the registry on arrays drawn from a fixed seed, and the same function in PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SEED = 29
DRAWS = 8  # of each case that is not large: a largest error among few elements is luck
LARGE = 200_000  # elements
LONG = 1 << 20  # terms of a long sum


@dataclass(frozen=True)
class Case:
    """One operation in one situation.

    arrays:     float32 inputs with gradients, in the order of the operation's
    torch:      the same function of tensors: called with the arrays, the given integers and the options
    given:      further positional arguments, in front of the arrays if `first`
    by_element: whether an error is measured beside its own element, not beside the output's largest
    """

    operation: str
    situation: str
    arrays: tuple[np.ndarray, ...]
    torch: Callable[..., Any]
    given: tuple[Any, ...] = ()
    first: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    by_element: bool = False
    dy_scale: float = 1.0

    def arguments(self, arrays: tuple) -> tuple:
        """What the operation is called with, these in the place of the arrays."""
        return (*self.given, *arrays) if self.first else (*arrays, *self.given)


def draw(rng: np.random.Generator, *shape: int, scale: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """Normal numbers in float32."""
    return (scale * rng.normal(size=shape) + offset).astype(np.float32)


def cases() -> Iterator[list[Case]]:
    """All of them, in the order of the table, each in several draws."""
    for group in (norms, activations, linears, embeddings, cross_entropies, attentions, elementwise, reductions):
        for draws in zip(*(group(np.random.default_rng(SEED + number)) for number in range(DRAWS)), strict=True):
            large = sum(array.size for array in draws[0].arrays) > LARGE
            yield [draws[0]] if large else list(draws)


def norms(rng: np.random.Generator) -> Iterator[Case]:
    import torch.nn.functional as F

    situations: dict[str, tuple[tuple[int, int], float, float, float]] = {  # shape, scale, offset, scale of dy
        "ordinary": ((64, 96), 1.0, 0.0, 1.0),
        "offset 1e4": ((64, 96), 1.0, 1e4, 1.0),
        "1M channels": ((2, LONG), 1.0, 0.0, 1.0),
        "1M channels, offset 100": ((2, LONG), 1.0, 100.0, 1.0),
        "1M rows": ((LONG, 3), 1.0, 0.0, 1.0),
        "times 1e19": ((64, 96), 1e19, 0.0, 1.0),
        "times 1e25": ((64, 96), 1e25, 0.0, 1.0),
        "times 1e37": ((64, 96), 1e37, 0.0, 1.0),
        "times 1e-19": ((64, 96), 1e-19, 0.0, 1.0),
        "dy times 1e19": ((64, 96), 1.0, 0.0, 1e19),
        "both times 1e19": ((64, 96), 1e19, 0.0, 1e19),
        "dy times 1e30": ((64, 96), 1.0, 0.0, 1e30),
        "x 1e-19, dy 1e19": ((64, 96), 1e-19, 0.0, 1e19),
    }
    for name, (shape, scale, offset, dy_scale) in situations.items():
        x, weight, bias = draw(rng, *shape, scale=scale, offset=offset), draw(rng, shape[1]), draw(rng, shape[1])
        yield Case("layernorm", name, (x, weight, bias), lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b),
                   dy_scale=dy_scale)  # fmt: skip
        yield Case("rmsnorm", name, (x, weight), lambda x, w: F.rms_norm(x, x.shape[-1:], w, 1e-5), dy_scale=dy_scale)


def activations(rng: np.random.Generator) -> Iterator[Case]:
    import torch
    import torch.nn.functional as F

    functions: dict[str, Callable[..., Any]] = {
        "gelu": lambda x: F.gelu(x, approximate="tanh"),
        "gelu_exact": lambda x: F.gelu(x),
        "relu": F.relu,
        "tanh": torch.tanh,
    }
    for name, function in functions.items():
        for situation, scale, dy_scale in (
            ("ordinary", 2.0, 1.0), ("times 1e-19", 1e-19, 1.0), ("times 20", 20.0, 1.0), ("times 1e19", 1e19, 1.0),
            ("times 1e30", 1e30, 1.0), ("dy times 1e30", 2.0, 1e30),
        ):  # fmt: skip
            yield Case(name, situation, (draw(rng, 64, 96, scale=scale),), function, dy_scale=dy_scale)
    for name, options in (("relu", {}), ("gelu", {"approximate": "tanh"}), ("gelu-exact", {})):
        activate = F.relu if name == "relu" else F.gelu

        def network(x, w1, b1, w2, b2, *, activate=activate, options=options, **_):
            return activate(x @ w1 + b1, **options) @ w2 + b2

        for situation, rows, hidden, scale, dy_scale in (
            ("ordinary", 64, 96, 1.0, 1.0), ("hidden times 1e4", 64, 96, 1e4, 1.0), ("100k rows", 100_000, 8, 1.0, 1.0),
            ("hidden times 1e19", 64, 96, 1e19, 1.0), ("dy times 1e19", 64, 96, 1.0, 1e19),
        ):  # fmt: skip
            if name == "relu" and rows > 64:
                continue  # among so many one is rounded to the other side of the kink, which is no rounding error
            arrays = (draw(rng, rows, 16, scale=scale), draw(rng, 16, hidden, scale=0.25), draw(rng, hidden),
                      draw(rng, hidden, 16, scale=hidden**-0.5), draw(rng, 16))  # fmt: skip
            yield Case("ffn", f"{name}, {situation}", arrays, network, options={"activation": name}, dy_scale=dy_scale)


def linears(rng: np.random.Generator) -> Iterator[Case]:
    def layer(x, weight, bias):
        return x @ weight + bias

    for name, rows, inner, out, scale, offset, dy_scale in (
        ("ordinary", 64, 96, 48, 1.0, 0.0, 1.0), ("offset 1e4", 64, 96, 48, 1.0, 1e4, 1.0),
        ("1M inputs", 2, LONG, 2, 1.0, 0.0, 1.0), ("1M rows", LONG, 3, 2, 1.0, 0.0, 1.0),
        ("1M rows, dy + 1", LONG, 3, 2, 1.0, 1.0, 1.0), ("times 1e19", 64, 96, 48, 1e19, 0.0, 1e-19),
        ("times 1e-19", 64, 96, 48, 1e-19, 0.0, 1e19),
    ):  # fmt: skip
        arrays = draw(rng, rows, inner, scale=scale, offset=offset), draw(rng, inner, out), draw(rng, out)
        yield Case("linear", name, arrays, layer, dy_scale=dy_scale)
        yield Case("matmul", name, arrays[:2], lambda a, b: a @ b, dy_scale=dy_scale)


def embeddings(rng: np.random.Generator) -> Iterator[Case]:
    import torch.nn.functional as F

    for name, rows, words in (("ordinary", 512, 40), ("1M ids of 3 words", LONG, 3)):
        ids = rng.integers(0, words, rows)
        yield Case("embedding", name, (draw(rng, words, 2),), F.embedding, (ids,), first=True)


def cross_entropies(rng: np.random.Generator) -> Iterator[Case]:
    import torch.nn.functional as F

    def total(logits, targets, ignore_index):
        return F.cross_entropy(logits, targets, reduction="sum", ignore_index=ignore_index)

    for name, rows, classes, scale, offset in (
        ("ordinary", 256, 40, 1.0, 0.0), ("offset 100", 256, 40, 1.0, 100.0), ("offset 1e4", 256, 40, 1.0, 1e4),
        ("offset -1e6", 256, 40, 1.0, -1e6), ("sure", 256, 40, 100.0, 0.0), ("times 1e4", 256, 40, 1e4, 0.0),
        ("times 1e30", 16, 40, 1e30, 0.0), ("1M classes", 2, LONG, 1.0, 0.0), ("1M rows", LONG, 3, 1.0, 0.0),
    ):  # fmt: skip
        targets = rng.integers(-1, classes, rows)
        logits = draw(rng, rows, classes, scale=scale, offset=offset)
        options = {"ignore_index": -1}
        yield Case("cross_entropy_sum", name, (logits,), total, (targets,), options=options)
        yield Case("cross_entropy", name, (logits,), F.cross_entropy, (targets,), options=options)


def attentions(rng: np.random.Generator) -> Iterator[Case]:
    import torch
    import torch.nn.functional as F

    def attend(q, k, v):
        heads = (tensor.transpose(1, 2) for tensor in (q, k, v))
        return F.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2)

    def packed(qkv, heads):
        batch, length, channels = qkv.shape
        parts = qkv.reshape(batch, length, 3, heads, channels // (3 * heads)).unbind(2)
        return attend(*parts).reshape(batch, length, channels // 3)

    def turn(x, positions, base=10000.0):
        size = x.shape[-1]
        wave = base ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        angle = (positions[:, None] * wave)[:, None]  # (T, 1, HS/2)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        first, second = x[..., ::2], x[..., 1::2]
        return torch.stack([first * cos - second * sin, first * sin + second * cos], dim=-1).reshape(x.shape)

    for name, batch, length, scale, offset, dy_scale in (
        ("ordinary", 2, 33, 1.0, 0.0, 1.0), ("scores times 100", 2, 33, 10.0, 0.0, 1.0),
        ("scores times 1e8", 2, 33, 1e4, 0.0, 1.0), ("offset 100", 2, 33, 1.0, 100.0, 1.0),
        ("2,048 positions", 1, 2048, 1.0, 0.0, 1.0), ("dy times 1e19", 2, 33, 1.0, 0.0, 1e19),
        ("times 1e-19", 2, 33, 1e-19, 0.0, 1.0),
    ):  # fmt: skip
        q, k, v = (draw(rng, batch, length, 2, 16, scale=scale, offset=offset) for _ in range(3))
        for operation in ("attention", "attention_blockwise"):
            yield Case(operation, name, (q, k, v), attend, dy_scale=dy_scale)
        wide = np.stack([q, k, v], axis=2).reshape(batch, length, -1)
        yield Case("packed_attention", name, (wide,), packed, (2,), dy_scale=dy_scale)
    for name, first in (("ordinary", 0), ("positions from 1M", 1_000_000)):
        positions = np.arange(first, first + 33)
        yield Case("rotary", name, (draw(rng, 2, 33, 2, 16),), turn, (positions,))


def elementwise(rng: np.random.Generator) -> Iterator[Case]:
    import torch

    functions: dict[str, Callable[..., Any]] = {"exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt}
    for name, function in functions.items():
        for situation, scale, offset in (("ordinary", 1.0, 0.1), ("near 1", 1e-3, 1.0), ("times 1e-30", 1e-30, 1e-36)):
            x = np.abs(draw(rng, 64, 96, scale=scale, offset=offset)) + np.float32(1e-37)
            yield Case(name, situation, (x,), function, by_element=True)
    a, b = draw(rng, 64, 96), draw(rng, 64, 96, offset=4.0)
    pairs: dict[str, Callable[..., Any]] = {
        "add": torch.add, "subtract": torch.subtract, "multiply": torch.multiply, "divide": torch.divide,
    }  # fmt: skip
    for name, function in pairs.items():
        yield Case(name, "ordinary", (a, b), function, by_element=True)
        yield Case(name, "1M rows of one", (draw(rng, LONG, 2), draw(rng, 2, offset=2.0)), function)
        yield Case(name, "times 1e19", (1e19 * a, 1e19 * b), function)
    for exponent in (2, 3, 0.5, -1.5):
        x = np.abs(a) + np.float32(0.1)
        yield Case("power", f"to {exponent}", (x,), torch.pow, (exponent,), by_element=True)


def reductions(rng: np.random.Generator) -> Iterator[Case]:
    import torch

    functions: dict[str, Callable[..., Any]] = {
        "sum": torch.sum, "mean": torch.mean, "max": torch.amax,
    }  # fmt: skip
    for name, function in functions.items():
        for situation, shape, axis, scale, offset in (
            ("ordinary", (64, 96), 1, 1.0, 0.0), ("1M in a row", (3, LONG), 1, 1.0, 0.0),
            ("1M in a column", (LONG, 3), 0, 1.0, 0.0), ("1M, offset 1", (3, LONG), 1, 1.0, 1.0),
            ("1M in a column, offset 1", (LONG, 3), 0, 1.0, 1.0), ("times 1e35", (64, 96), 1, 1e35, 0.0),
        ):  # fmt: skip
            x = draw(rng, *shape, scale=scale, offset=offset)
            yield Case(name, situation, (x,), lambda x, axis, f=function: f(x, dim=axis), (axis,))
    soft: dict[str, Callable[..., Any]] = {"softmax": torch.softmax, "log_softmax": torch.log_softmax}
    for name, function in soft.items():
        for situation, shape, scale, offset in (
            ("ordinary", (64, 96), 1.0, 0.0), ("times 100", (64, 96), 100.0, 0.0), ("offset 1e4", (64, 96), 1.0, 1e4),
            ("1M in a row", (2, LONG), 1.0, 0.0), ("times 1e30", (64, 96), 1e30, 0.0),
        ):  # fmt: skip
            x = draw(rng, *shape, scale=scale, offset=offset)
            yield Case(name, situation, (x,), lambda x, axis, f=function: f(x, dim=axis), (-1,))


SMALLEST = float(np.finfo(np.float32).tiny)


def ulps(found: np.ndarray, exact: np.ndarray, by_element: bool) -> float:
    """The largest error in units in the last place, of the output's largest entry or of each element's own.

    What is beyond float32 counts as infinite on both sides; infinity where only one of them is.
    """
    found, exact = np.asarray(found, np.float64), np.asarray(exact, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = exact.astype(np.float32)
    finite = np.isfinite(rounded)
    if found.shape != exact.shape or (found[~finite] != rounded[~finite]).any() or not np.isfinite(found[finite]).all():
        return math.inf
    if not finite.any():
        return 0.0
    beside = np.abs(rounded[finite]) if by_element else np.abs(rounded[finite]).max()
    return float((np.abs(found - exact)[finite] / np.spacing(np.maximum(beside, np.float32(SMALLEST)))).max())
