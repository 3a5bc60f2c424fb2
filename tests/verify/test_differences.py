"""Numerical derivatives: accuracy, step choice, kinks, jumps."""

import numpy as np
import pytest

from tinygrad_arith.verify import GradientMismatch, GradientUndecided, check_gradients
from tinygrad_arith.verify.probe import Probe


def probe(function, values, eps=2.0**-11):
    array = np.array(values, dtype=np.float64)
    return Probe("x", array, lambda: np.atleast_1d(np.asarray(function(array), dtype=np.float64)), np.array([1.3]), eps)


def test_central_difference_and_the_array_is_put_back():
    p = probe(lambda x: np.exp(x).sum(), [[0.1, -2.0, 3.0]])
    before = p.array.copy()
    np.testing.assert_allclose(p.gradient, 1.3 * np.exp(before), rtol=1e-8)
    assert np.array_equal(p.array, before)


def test_the_array_is_put_back_when_the_forward_raises():
    p = probe(lambda x: 1 / 0, [1.0, 2.0])
    with pytest.raises(ZeroDivisionError):
        p.refined((1,), 1e-8)
    assert p.array.tolist() == [1.0, 2.0]


def test_steps_are_found_for_a_steep_function():
    p = probe(lambda x: np.sin(40 * x).sum(), [0.3, 0.7])
    found, exact = p.refined((0,), 1e-9), 1.3 * 40 * np.cos(40 * 0.3)
    assert abs(found.value - exact) <= found.error <= 1e-9


@pytest.mark.parametrize("size", [1e-12, 1e-4, 1.0, 1e9])
def test_steps_follow_the_size_of_each_element(size):
    x = size * np.array([[1.0, 0.3, 2.0], [0.7, 0.5, 0.4]])
    assert check_gradients(lambda x: (np.log(x), x), lambda dy, x: dy / x, (x,)).passed
    with pytest.raises(GradientMismatch):
        check_gradients(lambda x: (np.log(x), x), lambda dy, x: 1.0005 * dy / x, (x,))


def test_large_values_get_larger_steps():
    x = np.array([[3e5, 2e4, -7e5], [1e6, 5.0, 0.1]])
    assert check_gradients(lambda x: (x * x, x), lambda dy, x: 2 * x * dy, (x,)).passed


def test_kinks_are_reported_and_not_counted():
    x = np.array([[0.0, 1.5, -2.0], [0.3, 0.0, 0.8]])
    for slope in (0.0, 1.0, 0.25):
        report = check_gradients(
            lambda x: (np.maximum(x, 0), x), lambda dy, x, s=slope: dy * np.where(x == 0, s, x > 0), (x,)
        )
        assert {kink.index for kink in report["x"].kinks} == {(0, 0), (1, 1)}
        assert "2 kinks, not counted: x[0, 0] (slopes 0 left" in str(report)


def test_a_slope_outside_the_kink_is_wrong():
    x = np.array([[0.0, 1.5, -2.0], [0.3, 0.1, 0.8]])
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(lambda x: (np.maximum(x, 0), x), lambda dy, x: dy * np.where(x == 0, -2.0, x > 0), (x,))
    assert caught.value.report["x"].where == (0, 0)


def test_a_kink_near_the_point_but_not_at_it_is_resolved_by_a_smaller_step():
    x = np.array([[2e-6, 1.5, -3e-6], [0.3, 0.1, 0.8]])
    report = check_gradients(lambda x: (np.maximum(x, 0), x), lambda dy, x: dy * (x > 0), (x,))
    assert report["x"].kinks == ()


def test_a_jump_is_no_kink():
    x = np.array([[0.0, 1.5, -2.0], [0.3, 0.1, 0.8]])
    with pytest.raises(GradientUndecided, match="the forward jumps there"):
        check_gradients(lambda x: (x + (x > 0), x), lambda dy, x: dy, (x,))


def test_steps_are_told_from_smoothness_and_the_array_is_put_back():
    values = [[0.1, -2.0, 3.0], [1.5, 0.7, -0.3]]
    smooth, single = probe(lambda x: np.sin(x).sum(), values), probe(lambda x: np.sin(np.float32(x)).sum(), values)
    before = single.array.copy()
    assert smooth.stepwise is None
    assert single.stepwise == (1, 1)
    assert np.array_equal(single.array, before)
    assert probe(lambda x: np.log(x).sum(), [1e-300, 2e-9]).stepwise is None  # no step leaves its domain
    assert probe(lambda x: np.zeros(3), values).stepwise is None
