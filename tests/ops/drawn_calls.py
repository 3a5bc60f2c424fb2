"""Calls of operations on small arrays: which ones Hypothesis may draw, and those that are always among them.

Hypothesis draws others in another release, also where it is told not to draw at random. So the calls that have found
an error, or that stand for a whole kind, are written down in `WRITTEN_DOWN`.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinygrad_arith.backend import RandomKey
from tinygrad_arith.ops import OPERATIONS
from tinygrad_arith.verify.strategies import (
    EXTREMES,
    Recipe,
    broadcasting_shapes,
    dtypes,
    key_masks,
    padding_lengths,
    recipes,
    shapes,
)

FORMS = ("attention", "attention_blockwise")
ROWWISE = ("gelu", "gelu_exact", "silu", "relu")
LOSSES = ("cross_entropy", "cross_entropy_sum")
ROTARY = ("rotary", "packed_rotary")
NAMES = (
    *("embedding", "linear", "layernorm", "rmsnorm", *FORMS, "packed_attention", *ROTARY),
    *(*ROWWISE, "dropout", "ffn", "gated_ffn", *LOSSES),
)


@dataclass(frozen=True)
class Call:
    """One call of an operation: recipes of its arrays (or other inputs as they are), and its options."""

    operation: str
    inputs: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def values(self, contiguous=False):
        """The inputs; those of equal recipes are different numbers."""
        made = []
        for position, value in enumerate(self.inputs):
            if isinstance(value, Recipe):
                value = replace(value, seed=1000 * position + value.seed)
                value = value.contiguous() if contiguous else value.array()
            made.append(value)
        return tuple(made)

    def run(self, inputs=None, dy=None, **options):
        """The output, then the gradients, for a random cotangent or the one given."""
        operation = OPERATIONS[self.operation]
        out, cache = operation.forward(*(inputs or self.values()), **{**self.options, **options})
        if dy is None:
            dy = np.random.default_rng(5).normal(size=out.shape).astype(out.dtype)
        gradients = operation.backward(dy, cache)
        return [out, *(gradients if isinstance(gradients, tuple) else (gradients,))]

    def arrays(self):
        """The floating-point inputs, as plain arrays."""
        return [v for v in self.values(True) if isinstance(v, np.ndarray) and v.dtype.kind == "f"]


def _rotary_call(draw, name, batch, array, size):
    """A call of one of the rotaries, with the same positions in all rows or each row's own."""
    kv_heads, head_size, length = size(high=2), 2 * size(high=3), size()
    heads, base = kv_heads * size(high=2), draw(st.sampled_from((20.0, 10000.0)))
    drawn = np.array(draw(st.lists(st.integers(-3, 2000), min_size=4, max_size=4)))
    positions = np.resize(drawn, draw(st.sampled_from(((length,), (batch, length)))))
    if name == "rotary":
        return Call(name, (array(batch, length, heads, head_size), positions), {"base": base})
    options = {"heads": heads, "kv_heads": kv_heads, "base": base}
    return Call(name, (array(batch, length, (heads + 2 * kv_heads) * head_size), positions), options)


@st.composite
def calls(draw, name, kinds=("normal",), dtype="float64", batch=None):
    """Calls of one operation on small arrays; `batch` fixes the first size, 0 included."""

    def array(*shape, kinds=kinds):
        return draw(recipes(tuple(shape), kinds=kinds, dtype=dtype))

    def size(low=1, high=4):
        return draw(st.integers(low, high))

    leading = draw(shapes((0, 2), 4)) if batch is None else (batch, size())
    if name in FORMS or name == "packed_attention":
        return _attention_call(draw, name, size(high=2) if batch is None else batch, array, size)
    if name in ROTARY:
        return _rotary_call(draw, name, size(high=2) if batch is None else batch, array, size)
    if name == "embedding":
        vocabulary = size(high=5)
        ids = draw(st.lists(st.integers(0, vocabulary - 1), min_size=4, max_size=4))
        return Call(name, (np.resize(np.array(ids), leading), array(vocabulary, size())))
    if name in LOSSES:
        classes = size(high=5)
        targets = draw(st.lists(st.integers(-1, 0 if "-inf" in kinds else classes - 1), min_size=4, max_size=4))
        return Call(name, (array(*leading, classes), np.resize(np.array(targets), leading)))
    # Two normalised channels are -1 and 1 whatever x was, but for eps: dx is all cancellation. So three or more.
    channels = size(3, 5)
    x = array(*leading, channels)
    if name == "linear":
        hidden = size(high=5)
        return Call(name, (x, array(channels, hidden), array(hidden)))
    if name == "layernorm":
        return Call(name, (x, array(channels), array(channels)))
    if name == "rmsnorm":
        return Call(name, (x, array(channels)))
    if name == "ffn":
        hidden, activation = size(high=5), draw(st.sampled_from(("silu", "gelu", "relu", "gelu-exact")))
        out = size(3, 5)
        weights = array(channels, hidden), array(hidden), array(hidden, out), array(out)
        return Call(name, (x, *weights), {"activation": activation})
    if name == "gated_ffn":
        hidden, activation = size(high=5), draw(st.sampled_from(("silu", "gelu", "relu", "gelu-exact")))
        out = size(3, 5)
        weights = array(channels, 2 * hidden), array(2 * hidden), array(hidden, out), array(out)
        return Call(name, (x, *weights), {"activation": activation})
    if name == "dropout":
        return Call(name, (x,), {"rate": draw(st.sampled_from((0.0, 0.3, 0.9))), "key": RandomKey(size(), "test")})
    return Call(name, (x,))


def _attention_call(draw, name, batch, array, size):
    """A call of one of the attentions with any of its masks and any grouping of heads."""
    kv_heads, head_size, keys = size(high=2), size(high=3), size(high=5)
    heads, options = kv_heads * size(high=2), {"causal": draw(st.booleans())}
    mask = draw(st.sampled_from(("none", "lengths", "key_mask")))
    if mask == "lengths":
        options["lengths"] = draw(padding_lengths(batch, keys))
    elif mask == "key_mask":
        options["key_mask"] = draw(key_masks(batch, keys))
    if name == "packed_attention":
        options |= {"heads": heads, "kv_heads": kv_heads}
        return Call(name, (array(batch, keys, (heads + 2 * kv_heads) * head_size),), options)
    if name == "attention_blockwise":
        options["block"] = size(high=keys)
    queries = size(high=keys)
    shape = batch, keys, kv_heads, head_size
    return Call(name, (array(batch, queries, heads, head_size), array(*shape), array(*shape)), options)


@st.composite
def extreme_calls(draw, name):
    """Calls whose arrays are all of one extreme kind, in either dtype."""
    kinds = (*EXTREMES, "-inf") if name in LOSSES else EXTREMES
    return draw(calls(name, kinds=(draw(st.sampled_from(kinds)),), dtype=draw(dtypes())))


@st.composite
def calls_in_any_dtype(draw, name):
    """Calls of normal numbers, in either dtype."""
    return draw(calls(name, dtype=draw(dtypes())))


@st.composite
def padded_calls(draw, name):
    """A call of an attention, and how many keys of each row are real."""
    call = draw(calls(name))
    return call, draw(padding_lengths(*call.inputs[1].shape[:2]))


@st.composite
def rows_with_padding(draw, name):
    """A call of an attention on one row, and how many of its keys are real: at least one."""
    call = draw(calls(name, batch=1))
    return call, draw(st.integers(1, call.inputs[1].shape[1]))


@st.composite
def two_that_broadcast(draw):
    """Recipes of two arrays whose shapes broadcast."""
    return tuple(draw(recipes(shape)) for shape in draw(broadcasting_shapes()))


def plain(*shape, layout="contiguous", kind="normal", dtype="float64"):
    return Recipe(shape, kind, layout, dtype)


MASK = np.array([[True, True, False, False, True], [False, False, False, False, False]])  # a row that sees nothing

_GROUPED = (plain(2, 3, 4, 3), plain(2, 5, 2, 3, layout="transposed"), plain(2, 5, 2, 3, layout="strided"))
_ONE_KEY = (plain(1, 1, 2, 3), plain(1, 1, 1, 3), plain(1, 1, 1, 3))

WRITTEN_DOWN: dict[str, tuple[Call, ...]] = {
    "embedding": (Call("embedding", (np.array([[2, 0, 2], [2, 2, 2]]), plain(4, 3, layout="reversed"))),),
    "linear": (
        Call("linear", (plain(2, 4, 3, layout="transposed"), plain(3, 5, layout="strided"), plain(5))),
        Call("linear", (plain(3), plain(3, 1), plain(1))),  # no axis but the channels
    ),
    "layernorm": (Call("layernorm", (plain(2, 4, 3, layout="reversed"), plain(3), plain(3, layout="strided"))),),
    "rmsnorm": (Call("rmsnorm", (plain(2, 4, 3, layout="reversed"), plain(3, layout="strided"))),),
    "attention": (
        Call("attention", _GROUPED, {"causal": True, "key_mask": MASK}),
        Call("attention", _GROUPED, {"causal": False, "lengths": np.array([3, 0])}),
        Call("attention", _ONE_KEY, {"causal": True}),
    ),
    "attention_blockwise": (
        Call("attention_blockwise", _GROUPED, {"causal": True, "key_mask": MASK, "block": 2}),
        Call("attention_blockwise", _GROUPED, {"causal": False, "lengths": np.array([3, 0]), "block": 5}),
        Call("attention_blockwise", _ONE_KEY, {"causal": True, "block": 1}),
    ),
    "packed_attention": (
        Call("packed_attention", (plain(2, 5, 24),), {"causal": True, "key_mask": MASK, "heads": 4, "kv_heads": 2}),
        Call("packed_attention", (plain(2, 1, 9),), {"causal": False, "heads": 1, "kv_heads": 1}),
    ),
    "rotary": (Call("rotary", (plain(2, 3, 4, 6), np.array([-3, 0, 2000])), {"base": 20.0}),),
    "packed_rotary": (
        Call("packed_rotary", (plain(2, 3, 32), np.array([[1, 0, 2], [5, 5, -1]])), {"heads": 4, "kv_heads": 2}),
    ),
    "dropout": (Call("dropout", (plain(3, 2, 5),), {"rate": 0.9, "key": RandomKey(3, "test")}),),
    "ffn": (Call("ffn", (plain(2, 3), plain(3, 1), plain(1), plain(1, 4), plain(4)), {"activation": "gelu"}),),
    "gated_ffn": (
        Call("gated_ffn", (plain(2, 3), plain(3, 2), plain(2), plain(1, 4), plain(4)), {"activation": "silu"}),
    ),
    "cross_entropy": (
        Call("cross_entropy", (plain(2, 3, 5), np.array([[4, -1, 0], [-1, -1, -1]]))),
        Call("cross_entropy", (plain(2, 3), np.array([-1, -1]))),  # nothing counts
        Call("cross_entropy", (plain(2, 1), np.array([0, 0]))),  # one class: the loss is 0
    ),
    "cross_entropy_sum": (
        Call("cross_entropy_sum", (plain(2, 3, 5), np.array([[4, -1, 0], [-1, -1, -1]]))),
        Call("cross_entropy_sum", (plain(2, 3), np.array([-1, -1]))),
    ),
    **{name: (Call(name, (plain(2, 4, 3, layout="reversed"),)),) for name in ROWWISE},
}


def of_kind(call, kind, dtype):
    """The same call with arrays of one kind and dtype."""
    change = {"kind": kind, "dtype": dtype}
    return replace(call, inputs=tuple(replace(v, **change) if isinstance(v, Recipe) else v for v in call.inputs))


def quick(strategy, examples=()):
    """A decorator: the test gets the examples, then twenty that Hypothesis draws, without luck from run to run."""
    calm = settings(max_examples=20, deadline=None, derandomize=True, database=None)

    def decorate(check):
        check = given(strategy)(check)
        for call in examples:
            check = example(call)(check)
        return calm(check)

    return decorate
