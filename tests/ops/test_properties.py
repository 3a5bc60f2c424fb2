"""What must hold of every operation at any shape, layout and value: Hypothesis draws them.

A failing example prints as a `Call`: the operation, a recipe for each array, the options.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from tinygrad_arith.backend import RandomKey
from tinygrad_arith.ops import OPERATIONS
from tinygrad_arith.verify import ALLOWANCES, assert_close, check_gradients, tolerance
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

quick = settings(max_examples=20, deadline=None, derandomize=True, database=None)  # the same examples on every machine

FORMS = ("attention", "attention_blockwise")
ROWWISE = ("gelu", "gelu_exact", "silu", "relu")
LOSSES = ("cross_entropy", "cross_entropy_sum")
ROTARY = ("rotary", "packed_rotary")
NAMES = (
    *("embedding", "linear", "layernorm", "rmsnorm", *FORMS, "packed_attention", *ROTARY),
    *(*ROWWISE, "dropout", "ffn", "gated_ffn", *LOSSES),
)
each_operation = pytest.mark.parametrize("name", NAMES)


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


def assert_same(results, expected):
    """Equal up to rounding. The scale is that of all results together: a gradient alone may be nothing but rounding."""
    assert [a.shape for a in results] == [a.shape for a in expected]
    flat, other = (np.concatenate([np.ravel(a) for a in arrays]) for arrays in (results, expected))
    assert_close(flat, other, tolerance("identity", other.dtype))


@each_operation
def test_the_backward_is_the_derivative_at_any_shape(name):
    @quick
    @given(calls(name))
    def check(call):
        operation = OPERATIONS[name]
        # Single keys, masked rows and single channels have gradients of zero: that is what shapes are drawn for here.
        refusals = {"allow": set(ALLOWANCES) - {"equal_cotangent"}, "zero": operation.inputs}
        check_gradients(operation.forward, operation.backward, call.values(), options=call.options, **refusals)

    check()


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
def test_broadcast_gradients_are_sums_over_the_copies(name):
    @quick
    @given(broadcasting_shapes(), st.data())
    def check(both, data):
        a, b = (data.draw(recipes(shape)).array() for shape in both)
        operation = OPERATIONS[name]
        b = b + np.where(b < 0, -0.5, 0.5)  # away from 0, where division has no derivative
        allow = set(ALLOWANCES) - {"equal_cotangent"}
        check_gradients(operation.forward, operation.backward, (np.asarray(a), np.asarray(b)), allow=allow)

    check()


@each_operation
def test_extreme_values_give_finite_numbers_of_the_same_dtype(name):
    kinds = (*EXTREMES, "-inf") if name in LOSSES else EXTREMES

    @quick
    @given(st.data(), dtypes())
    def check(data, dtype):
        kind = data.draw(st.sampled_from(kinds))
        call = data.draw(calls(name, kinds=(kind,), dtype=dtype))
        out, *gradients = call.run()
        note(f"output {out}")
        for result, like in zip([out, *gradients], [None, *call.arrays()], strict=True):
            assert np.isfinite(result).all()
            assert result.dtype == dtype
            assert like is None or result.shape == like.shape

    check()


@each_operation
def test_views_give_what_contiguous_arrays_give(name):
    @quick
    @given(st.data(), dtypes())
    def check(data, dtype):
        call = data.draw(calls(name, dtype=dtype))
        assert_same(call.run(), call.run(call.values(contiguous=True)))

    check()


@each_operation
def test_a_batch_of_none_gives_empty_arrays_and_zero_parameter_gradients(name):
    @quick
    @given(calls(name, batch=0))
    def check(call):
        out, *gradients = call.run()
        assert not out.any()
        assert out.shape[:1] in ((0,), ())
        for gradient, array in zip(gradients, call.arrays(), strict=True):
            assert gradient.shape == array.shape
            assert not gradient.any()

    check()


@quick
@given(calls("attention_blockwise"))
def test_both_forms_of_attention_are_one_function(call):
    options = {name: value for name, value in call.options.items() if name != "block"}
    assert_same(call.run(), replace(call, operation="attention", options=options).run())


@quick
@given(calls("attention"))
def test_lengths_are_shorthand_for_a_key_mask(call):
    if "lengths" in call.options:
        keys = call.inputs[1].shape[1]
        mask = np.arange(keys) < call.options["lengths"][:, None]  # (B, Tk)
        for mine, other in zip(call.run(), call.run(lengths=None, key_mask=mask), strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("name", FORMS)
def test_what_padding_holds_changes_nothing(name):
    @quick
    @given(st.data())
    def check(data):
        call = data.draw(calls(name))
        batch, keys = call.inputs[1].shape[:2]
        lengths = data.draw(padding_lengths(batch, keys))
        options = {"lengths": lengths, "key_mask": None}
        hidden = (np.arange(keys) >= lengths[:, None])[..., None, None]  # (B, Tk, 1, 1)
        q, k, v = call.values()
        before = call.run((q, k, v), **options)
        after = call.run((q, np.where(hidden, 7.0, k), np.where(hidden, -9.0, v)), **options)
        assert_same(after, before)
        for gradient in before[2:]:
            assert not np.where(hidden, gradient, 0.0).any()

    check()


@pytest.mark.parametrize("name", FORMS)
def test_a_padded_row_is_the_row_without_its_padding(name):
    @quick
    @given(st.data())
    def check(data):
        call = data.draw(calls(name, batch=1))
        keys = call.inputs[1].shape[1]
        length = data.draw(st.integers(1, keys))
        options = {"lengths": None, "key_mask": None, "causal": False}
        q, k, v = call.values()
        cut = call.run((q, k[:, :length], v[:, :length]), **options)
        out, dq, dk, dv = call.run((q, k, v), **options | {"lengths": np.array([length])})
        assert_same([out, dq, dk[:, :length], dv[:, :length]], cut)

    check()


@pytest.mark.parametrize("name", LOSSES)
def test_logits_of_ignored_targets_change_nothing(name):
    @quick
    @given(calls(name))
    def check(call):
        logits, targets = call.values()
        ignored = (targets == -1)[..., None]
        dy = np.float64(0.7)
        before, after = (call.run((array, targets), dy) for array in (logits, np.where(ignored, 50.0, logits)))
        assert_same(after, before)
        assert not np.where(ignored, before[1], 0.0).any()

    check()
