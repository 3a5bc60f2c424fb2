"""What must hold of every operation at any shape, layout and value: Hypothesis draws them.

A failing example prints as a `Call`: the operation, a recipe for each array, the options. Those that matter are
written down in `drawn_calls.py`, since another release of Hypothesis draws others.
"""

from dataclasses import replace

import numpy as np
import pytest
from drawn_calls import (
    FORMS,
    LOSSES,
    NAMES,
    WRITTEN_DOWN,
    calls,
    calls_in_any_dtype,
    extreme_calls,
    of_kind,
    padded_calls,
    quick,
    rows_with_padding,
    two_that_broadcast,
)
from hypothesis import note

from tinygrad_arith.ops import OPERATIONS
from tinygrad_arith.verify import ALLOWANCES, assert_close, check_gradients, tolerance
from tinygrad_arith.verify.strategies import EXTREMES, Recipe

each_operation = pytest.mark.parametrize("name", NAMES)


def assert_same(results, expected):
    """Equal up to rounding. The scale is that of all results together: a gradient alone may be nothing but rounding."""
    assert [a.shape for a in results] == [a.shape for a in expected]
    flat, other = (np.concatenate([np.ravel(a) for a in arrays]) for arrays in (results, expected))
    assert_close(flat, other, tolerance("identity", other.dtype))


@each_operation
def test_the_backward_is_the_derivative_at_any_shape(name):
    @quick(calls(name), WRITTEN_DOWN[name])
    def check(call):
        operation = OPERATIONS[name]
        # Single keys, masked rows and single channels have gradients of zero: that is what shapes are drawn for here.
        refusals = {"allow": set(ALLOWANCES) - {"equal_cotangent"}, "zero": operation.inputs}
        check_gradients(operation.forward, operation.backward, call.values(), options=call.options, **refusals)

    check()


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
def test_broadcast_gradients_are_sums_over_the_copies(name):
    @quick(two_that_broadcast(), [(Recipe((3, 1)), Recipe((2, 1, 4), layout="reversed")), (Recipe(()), Recipe((2,)))])
    def check(both):
        a, b = (recipe.array() for recipe in both)
        operation = OPERATIONS[name]
        b = b + np.where(b < 0, -0.5, 0.5)  # away from 0, where division has no derivative
        allow = set(ALLOWANCES) - {"equal_cotangent"}
        check_gradients(operation.forward, operation.backward, (np.asarray(a), np.asarray(b)), allow=allow)

    check()


@each_operation
def test_extreme_values_give_finite_numbers_of_the_same_dtype(name):
    written_down = [
        of_kind(call, kind, dtype)
        for call in WRITTEN_DOWN[name]
        for kind in EXTREMES
        for dtype in ("float32", "float64")
    ]

    @quick(extreme_calls(name), written_down)
    def check(call):
        out, *gradients = call.run()
        note(f"output {out}")
        for result, like in zip([out, *gradients], [None, *call.arrays()], strict=True):
            assert np.isfinite(result).all()
            assert result.dtype == call.arrays()[0].dtype
            assert like is None or result.shape == like.shape

    check()


@each_operation
def test_views_give_what_contiguous_arrays_give(name):
    @quick(calls_in_any_dtype(name), WRITTEN_DOWN[name])
    def check(call):
        assert_same(call.run(), call.run(call.values(contiguous=True)))

    check()


@each_operation
def test_a_batch_of_none_gives_empty_arrays_and_zero_parameter_gradients(name):
    @quick(calls(name, batch=0))
    def check(call):
        out, *gradients = call.run()
        assert not out.any()
        assert out.shape[:1] in ((0,), ())
        for gradient, array in zip(gradients, call.arrays(), strict=True):
            assert gradient.shape == array.shape
            assert not gradient.any()

    check()


@quick(calls("attention_blockwise"), WRITTEN_DOWN["attention_blockwise"])
def test_both_forms_of_attention_are_one_function(call):
    options = {name: value for name, value in call.options.items() if name != "block"}
    assert_same(call.run(), replace(call, operation="attention", options=options).run())


@quick(calls("attention"), WRITTEN_DOWN["attention"])
def test_lengths_are_shorthand_for_a_key_mask(call):
    if "lengths" in call.options:
        keys = call.inputs[1].shape[1]
        mask = np.arange(keys) < call.options["lengths"][:, None]  # (B, Tk)
        for mine, other in zip(call.run(), call.run(lengths=None, key_mask=mask), strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("name", FORMS)
def test_what_padding_holds_changes_nothing(name):
    @quick(padded_calls(name), [(call, np.array([3, 0])[: call.inputs[1].shape[0]]) for call in WRITTEN_DOWN[name][:2]])
    def check(drawn):
        call, lengths = drawn
        keys = call.inputs[1].shape[1]
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
    @quick(rows_with_padding(name))
    def check(drawn):
        call, length = drawn
        options = {"lengths": None, "key_mask": None, "causal": False}
        q, k, v = call.values()
        cut = call.run((q, k[:, :length], v[:, :length]), **options)
        out, dq, dk, dv = call.run((q, k, v), **options | {"lengths": np.array([length])})
        assert_same([out, dq, dk[:, :length], dv[:, :length]], cut)

    check()


@pytest.mark.parametrize("name", LOSSES)
def test_logits_of_ignored_targets_change_nothing(name):
    @quick(calls(name), WRITTEN_DOWN[name])
    def check(call):
        logits, targets = call.values()
        ignored = (targets == -1)[..., None]
        dy = np.float64(0.7)
        before, after = (call.run((array, targets), dy) for array in (logits, np.where(ignored, 50.0, logits)))
        assert_same(after, before)
        assert not np.where(ignored, before[1], 0.0).any()

    check()
