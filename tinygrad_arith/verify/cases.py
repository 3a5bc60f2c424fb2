"""Inputs at which every operation of the textbook is checked: plain NumPy data, by the operation's name.

Sizes are asymmetric (no two axes of an input agree), parameters are random, and each operation has a case for each
way in which its gradient can go wrong: masks, groups of heads, fewer queries than keys, repeated ids, broadcasting,
strided and reversed views. The tests and the `gradcheck` command share them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["CASES", "Case", "cases"]


@dataclass(frozen=True)
class Case:
    """One set of inputs: `check_gradients(forward, backward, inputs, options=..., zero=..., allow=..., sizes=...)`."""

    name: str
    inputs: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    zero: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    sizes: Mapping[str, int] | None = None

    def settings(self) -> dict[str, Any]:
        """The keyword arguments for `check_gradients`."""
        return {"options": self.options, "zero": self.zero, "allow": self.allow, "sizes": self.sizes}

    def astype(self, dtype: str) -> Case:
        """The same case with its floating-point inputs in another dtype."""
        inputs = tuple(
            value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
            for value in self.inputs
        )
        return Case(self.name, inputs, self.options, self.zero, self.allow, self.sizes)


def cases(operation: str, seed: int = 0, random_key: Callable[[int], Any] | None = None) -> tuple[Case, ...]:
    """The cases of one operation; another seed draws other numbers of the same shapes.

    `random_key(seed)` makes the key of operations that draw numbers (dropout); without it they have no cases. An
    operation without cases is a KeyError that lists those with.
    """
    if operation not in CASES:
        raise KeyError(f"no cases for the operation {operation!r}; there are cases for {', '.join(CASES)}")
    rng = np.random.default_rng([seed, *operation.encode()])
    if operation == "dropout":
        return () if random_key is None else _dropout(rng, random_key(seed))
    return CASES[operation](rng)


# What a transformer is made of


def _embedding(rng):
    table = rng.normal(size=(7, 3))  # (V, C)
    ids = np.array([[0, 5, 5, 2], [5, 6, 0, 1]])  # (B, T): 5 three times, 0 twice, 3 and 4 never
    return (
        Case("repeated ids", (ids, table)),
        Case("one id everywhere", (np.full((2, 4), 3), table)),
        Case("positions, 1-D", (np.arange(4), table)),
        Case("strided table", (ids, rng.normal(size=(14, 6))[::-2, ::2])),
        Case("no ids", (ids[:0], table), zero=("table",), allow=("empty",)),
    )


def _linear(rng):
    x, weight, bias = rng.normal(size=(2, 5, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)
    return (
        Case("(B, T, C)", (x, weight, bias), sizes={"B": 2, "T": 5, "Cin": 3, "Cout": 4}),
        Case("no bias", (x, weight, None)),
        Case("rows", (x[0], weight, bias)),
        Case("one row", (rng.normal(size=3), weight, bias)),
        Case("strided views", (rng.normal(size=(3, 5, 2)).T, rng.normal(size=(4, 3)).T, rng.normal(size=8)[::-2])),
        Case("empty batch", (x[:0], weight, bias), zero=("weight", "bias"), allow=("empty",)),
    )


def _layernorm(rng):
    x, weight, bias = rng.normal(size=(2, 5, 3)), rng.normal(size=3), rng.normal(size=3)
    wide = rng.normal(size=(2, 3, 7)), rng.normal(size=7), rng.normal(size=7)
    return (
        Case("(B, T, C)", (x, weight, bias), sizes={"B": 2, "T": 5, "C": 3}),
        Case("wide rows far from 0", (wide[0] * 3 + 10, *wide[1:])),
        Case("large eps", wide, options={"eps": 0.5}),
        Case("one position", (wide[0][0, 0], *wide[1:])),
        Case("strided views", (rng.normal(size=(7, 3, 2)).T, rng.normal(size=14)[::2], rng.normal(size=7)[::-1])),
        Case("empty batch", (x[:0], weight, bias), zero=("weight", "bias"), allow=("empty",)),
    )


def _rmsnorm(rng):
    x, weight = rng.normal(size=(2, 5, 3)), rng.normal(size=3)
    wide = rng.normal(size=(2, 3, 7)), rng.normal(size=7)
    return (
        Case("(B, T, C)", (x, weight), sizes={"B": 2, "T": 5, "C": 3}),
        Case("wide rows far from 0", (wide[0] * 3 + 10, wide[1])),
        Case("large eps", wide, options={"eps": 0.5}),
        Case("one position", (wide[0][0, 0], wide[1])),
        Case("strided views", (rng.normal(size=(7, 3, 2)).T, rng.normal(size=14)[::2])),
        Case("empty batch", (x[:0], weight), zero=("weight",), allow=("empty",)),
    )


def _qkv(rng, batch=2, queries=5, keys=5, heads=4, kv_heads=4, head_size=3):
    return (
        rng.normal(size=(batch, queries, heads, head_size)),
        rng.normal(size=(batch, keys, kv_heads, head_size)),
        rng.normal(size=(batch, keys, kv_heads, head_size)),
    )


def _attention(rng):
    sizes = {"B": 2, "T": 5, "NH": 4, "HS": 3}
    packed = rng.normal(size=(2, 5, 12, 3))
    views = packed[:, :, :4], packed[:, :, 4:8], packed[:, :, 8:]
    hole = np.array([[True, False, True, True, True], [False, True, True, True, False]])  # (B, Tk)
    unseen = np.array([[False, False, True, True, True], [False] * 5])  # queries, and a whole row, that see nothing
    few = {"queries": 2, "keys": 5, "heads": 4, "kv_heads": 4}
    return (
        Case("causal", _qkv(rng), sizes=sizes),
        Case("full", _qkv(rng), {"causal": False}, sizes=sizes),
        Case("key mask", _qkv(rng), {"causal": False, "key_mask": hole}, sizes=sizes),
        Case("causal, key mask, queries that see nothing", _qkv(rng), {"key_mask": unseen}, sizes=sizes),
        Case("lengths", _qkv(rng), {"lengths": np.array([3, 5])}, sizes=sizes),
        Case("grouped heads", _qkv(rng, batch=3, queries=4, keys=7, heads=6, kv_heads=2, head_size=5)),
        Case("one key/value head", _qkv(rng, heads=4, kv_heads=1), {"causal": False}),
        Case("fewer queries, causal", _qkv(rng, **few, batch=1), sizes={"Tq": 2, "Tk": 5, "NH": 4, "HS": 3}),
        Case("fewer queries, full", _qkv(rng, **few, batch=1), {"causal": False}),
        Case("fewer queries, lengths", _qkv(rng, **few, batch=1), {"lengths": np.array([4])}),
        Case("own scale, large scores", tuple(3 * a for a in _qkv(rng, keys=6)), {"scale": 0.7}),
        Case("one position", _qkv(rng, queries=1, keys=1), zero=("q", "k")),
        Case("strided views", views, sizes=sizes),
        Case("empty batch", _qkv(rng, batch=0), allow=("empty",)),
    )


def _attention_blockwise(rng):
    """Those of attention, in blocks smaller than the keys, and blocks that do not divide them."""
    return tuple(
        Case(f"{case.name}, blocks of {block}", case.inputs, {**case.options, "block": block}, case.zero, case.allow)
        for case, block in zip(_attention(rng), (2, 3, 2, 2, 4, 2, 1, 2, 3, 2, 4, 1, 2, 2), strict=True)
    )


def _packed_attention(rng):
    qkv = rng.normal(size=(2, 5, 4 * 3 * 3))  # (B, T, 3 NH HS), NH = 4, HS = 3
    grouped = rng.normal(size=(2, 5, (6 + 2 * 2) * 3))  # NH = 6, NHkv = 2, HS = 3
    mask = np.array([[True, True, False, True, True], [True, True, True, True, False]])
    return (
        Case("causal", (qkv,), {"heads": 4}, sizes={"B": 2, "T": 5, "NH": 4, "HS": 3}),
        Case("full", (qkv,), {"heads": 4, "causal": False}),
        Case("key mask", (qkv,), {"heads": 4, "key_mask": mask}),
        Case("lengths", (qkv,), {"heads": 4, "lengths": np.array([2, 5])}),
        Case("grouped heads", (grouped,), {"heads": 6, "kv_heads": 2}),
        Case("one head", (rng.normal(size=(2, 5, 9)),), {"heads": 1, "causal": False}),
        Case("one position", (qkv[:, :1],), {"heads": 4}),
        Case("strided view", (rng.normal(size=(36, 5, 2)).T,), {"heads": 4}),
        Case("empty batch", (qkv[:0],), {"heads": 4}, allow=("empty",)),
    )


def _rotary(rng):
    x = rng.normal(size=(2, 5, 3, 4))  # (B, T, NH, HS)
    own = np.array([[0, 4, 1, 7, 2], [30, 31, 32, 3, 5]])  # (B, T): positions of each row's own
    return (
        Case("in order", (x, np.arange(5)), sizes={"B": 2, "T": 5, "NH": 3, "HS": 4}),
        Case("positions of each row", (x, own), sizes={"B": 2, "T": 5, "NH": 3, "HS": 4}),
        Case("three pairs, small base", (rng.normal(size=(2, 5, 1, 6)), own), {"base": 50.0}),
        Case("one pair", (rng.normal(size=(3, 5, 4, 2)), np.arange(5))),
        Case("far positions", (x, np.arange(5) + 100_000)),
        Case("one position", (x[:, :1], np.array([6]))),
        Case("strided view", (rng.normal(size=(4, 3, 10, 2)).T[:, ::-2], own)),
        Case("empty batch", (x[:0], np.arange(5)), allow=("empty",)),
    )


def _packed_rotary(rng):
    qkv = rng.normal(size=(2, 5, 3 * 3 * 4))  # (B, T, 3 NH HS), NH = 3, HS = 4
    grouped = rng.normal(size=(2, 5, (6 + 2 * 2) * 4))  # NH = 6, NHkv = 2, HS = 4
    own = np.array([[0, 4, 1, 7, 2], [30, 31, 32, 3, 5]])  # (B, T)
    return (
        Case("in order", (qkv, np.arange(5)), {"heads": 3}, sizes={"B": 2, "T": 5, "NH": 3, "HS": 4}),
        Case("positions of each row", (qkv, own), {"heads": 3}),
        Case("grouped heads", (grouped, own), {"heads": 6, "kv_heads": 2}),
        Case("one head, small base", (rng.normal(size=(2, 5, 18)), own), {"heads": 1, "base": 50.0}),
        Case("one position", (qkv[:, :1], np.array([6])), {"heads": 3}),
        Case("strided view", (rng.normal(size=(36, 5, 2)).T, own), {"heads": 3}),
        Case("empty batch", (qkv[:0], np.arange(5)), {"heads": 3}, allow=("empty",)),
    )


def _activation(rng):
    return (
        Case("(B, T, C)", (2 * rng.normal(size=(2, 5, 3)),)),
        Case("large values", (np.array([[-30.0, -6.0, -2.5], [0.7, 5.5, 40.0]]),)),
        Case("strided view", (rng.normal(size=(3, 10, 2)).T[:, ::-2],)),
        Case("empty batch", (rng.normal(size=(0, 5, 3)),), allow=("empty",)),
    )


def _dropout(rng, key):
    x = rng.normal(size=(2, 5, 3))
    return (
        Case("rate 0.4", (x,), {"rate": 0.4, "key": key}),
        Case("rate 0", (x,), {"rate": 0.0, "key": key}),
        Case("strided view", (rng.normal(size=(3, 10, 2)).T[:, ::2],), {"rate": 0.25, "key": key}),
        Case("empty batch", (x[:0],), {"rate": 0.4, "key": key}, allow=("empty",)),
    )


def _ffn(rng):
    parameters = rng.normal(size=(3, 7)), rng.normal(size=7), rng.normal(size=(7, 3)), rng.normal(size=3)
    x = rng.normal(size=(2, 5, 3))
    return (
        Case("tanh GELU", (x, *parameters), sizes={"B": 2, "T": 5, "C": 3, "F": 7}),
        Case("ReLU", (x, *parameters), {"activation": "relu"}),
        Case("exact GELU", (x, *parameters), {"activation": "gelu-exact"}),
        Case("one row", (x[0, 0], *parameters)),
        Case("strided view", (rng.normal(size=(3, 10, 2)).T[:, ::-2], *parameters)),
        Case("empty batch", (x[:0], *parameters), zero=("w1", "b1", "w2", "b2"), allow=("empty",)),
    )


def _cross_entropy(rng):
    logits = rng.normal(size=(2, 5, 7))  # (B, T, V)
    targets = np.array([[3, -1, 0, 6, 6], [-1, 2, 2, -1, 5]])  # (B, T)
    return (
        Case("ignored targets", (logits, targets), sizes={"B": 2, "T": 5, "V": 7, "counted": 7}),
        Case("all counted", (logits, np.abs(targets))),
        Case("large logits", (8 * logits, targets)),
        Case("rows", (logits[0], targets[0])),
        Case("another ignored id", (logits, np.abs(targets)), {"ignore_index": 6}),
        Case("strided view", (rng.normal(size=(7, 5, 4)).T[::2], targets)),
        Case("nothing counted", (logits, np.full((2, 5), -1)), zero=("logits",)),
        Case("empty batch", (logits[:0], targets[:0]), allow=("empty",)),
    )


def _cross_entropy_sum(rng):
    weighted = Case(
        "weights", (rng.normal(size=(2, 5, 7)), np.array([[3, -1, 0, 6, 6], [1, 2, 2, -1, 5]])),
        {"weights": rng.uniform(0.2, 2.0, (2, 5))},
    )  # fmt: skip
    return (*_cross_entropy(rng), weighted)


# What a Tensor's operators are made of


def _two_arrays(rng):
    """Broadcasting in every direction; away from 0, so that division is smooth."""

    def draw(*shape):
        return np.asarray(rng.uniform(0.5, 2.0, shape) * rng.choice((-1.0, 1.0), shape))

    return (
        Case("same shape", (draw(2, 5, 3), draw(2, 5, 3))),
        Case("b along the last axis", (draw(2, 5, 3), draw(3))),
        Case("a along the last axis", (draw(3), draw(2, 5, 3))),
        Case("axes of size 1 on both sides", (draw(2, 1, 3), draw(4, 1))),
        Case("an axis of size 1 against 2", (draw(3, 1), draw(3, 2))),
        Case("b without axes", (draw(2, 5), draw())),
        Case("strided views", (draw(3, 5, 2).T, draw(10, 3)[::-2])),
        Case("empty batch", (draw(0, 5, 3), draw(3)), zero=("b",), allow=("empty",)),
    )


def _power(rng):
    x = rng.uniform(0.5, 2.0, (2, 5, 3))
    return (
        Case("square", (x - 1.2,), {"exponent": 2}),
        Case("cube", (x - 1.2,), {"exponent": 3}),
        Case("root", (x,), {"exponent": 0.5}),
        Case("inverse", (x,), {"exponent": -1.5}),
        Case("strided view", (rng.uniform(0.5, 2.0, (6, 5)).T[:, ::2],), {"exponent": 3}),
    )


def _matmul(rng):
    def draw(*shape):
        return rng.normal(size=shape)

    return (
        Case("matrices", (draw(2, 5), draw(5, 3))),
        Case("batched", (draw(2, 4, 5), draw(2, 5, 3))),
        Case("b broadcast over the batch", (draw(2, 4, 5), draw(5, 3))),
        Case("a broadcast over the batch", (draw(4, 5), draw(2, 5, 3))),
        Case("batch axes of size 1", (draw(3, 1, 4, 5), draw(2, 5, 6))),
        Case("vector on the left", (draw(5), draw(2, 5, 3))),
        Case("vector on the right", (draw(2, 4, 5), draw(5))),
        Case("two vectors", (draw(5), draw(5))),
        Case("strided views", (draw(5, 2).T, draw(10, 6)[::-2, ::2])),
        Case("empty batch", (draw(0, 4, 5), draw(5, 3)), zero=("b",), allow=("empty",)),
    )


def _elementwise(rng):
    return (
        Case("(B, T, C)", (rng.uniform(0.3, 2.5, (2, 5, 3)),)),
        Case("one number", (np.array(0.7),)),
        Case("strided view", (rng.uniform(0.3, 2.5, (3, 10, 2)).T[:, ::-2],)),
        Case("empty batch", (rng.uniform(0.3, 2.5, (0, 5, 3)),), allow=("empty",)),
    )


def _reduction(rng):
    x = rng.permuted(np.linspace(-2.0, 2.0, 30)).reshape(2, 5, 3)  # no ties, no near ties
    return (
        Case("all axes", (x,)),
        Case("last axis", (x,), {"axis": -1}),
        Case("middle axis, kept", (x,), {"axis": 1, "keepdims": True}),
        Case("two axes", (x,), {"axis": (0, 2)}),
        Case("strided view", (x.T[:, ::-1],), {"axis": 0}),
    )


def _max(rng):
    ties = np.array([[1.0, 3.0, 3.0], [2.0, -1.0, 0.5]])
    return (*_reduction(rng), Case("ties", (ties,), {"axis": 1}, allow=("kinks",)))


def _reshape(rng):
    x = rng.normal(size=(2, 5, 3))
    return (
        Case("merge axes", (x,), {"shape": (10, 3)}),
        Case("split axes", (x,), {"shape": (2, 5, 3, 1)}),
        Case("a size of -1", (x,), {"shape": (6, -1)}),
        Case("transposed view", (x.T,), {"shape": (5, 6)}),
        Case("empty batch", (x[:0],), {"shape": (0, 15)}, allow=("empty",)),
    )


def _transpose(rng):
    x = rng.normal(size=(2, 5, 3, 4))
    return (
        Case("reversed", (x,)),
        Case("a cycle of axes", (x,), {"axes": (1, 2, 0, 3)}),
        Case("negative axes", (x,), {"axes": (0, -2, -3, 3)}),
        Case("strided view", (x[:, ::-1],), {"axes": (3, 0, 1, 2)}),
        Case("empty batch", (x[:0],), {"axes": (1, 0, 2, 3)}, allow=("empty",)),
    )


def _index(rng):
    x = rng.normal(size=(4, 5, 3))
    return (
        Case("a row", (x,), {"index": 2}),
        Case("slices", (x,), {"index": (slice(1, None), slice(None, None, -2))}),
        Case("repeated rows", (x,), {"index": np.array([3, 0, 3, 3])}),
        Case("pairs", (x,), {"index": (np.array([0, 2, 2]), np.array([4, 1, 1]))}),
        Case("a mask", (x,), {"index": x[..., 0] > 0}),
        Case("a new axis", (x,), {"index": (Ellipsis, None, 0)}),
    )


CASES: dict[str, Callable[..., tuple[Case, ...]]] = {
    "embedding": _embedding,
    "linear": _linear,
    "layernorm": _layernorm,
    "rmsnorm": _rmsnorm,
    "attention": _attention,
    "attention_blockwise": _attention_blockwise,
    "packed_attention": _packed_attention,
    "rotary": _rotary,
    "packed_rotary": _packed_rotary,
    "gelu": _activation,
    "gelu_exact": _activation,
    "relu": _activation,
    "dropout": _dropout,
    "ffn": _ffn,
    "cross_entropy_sum": _cross_entropy_sum,
    "cross_entropy": _cross_entropy,
    "add": _two_arrays,
    "subtract": _two_arrays,
    "multiply": _two_arrays,
    "divide": _two_arrays,
    "power": _power,
    "matmul": _matmul,
    "negative": _elementwise,
    "exp": _elementwise,
    "log": _elementwise,
    "sqrt": _elementwise,
    "tanh": _elementwise,
    "sum": _reduction,
    "mean": _reduction,
    "max": _max,
    "reshape": _reshape,
    "transpose": _transpose,
    "index": _index,
}
