"""Forwards that look otherwise from afar: periods, steps far smaller than an element, ties of several, long arrays."""

import numpy as np
import pytest

from tinygrad_arith.verify import GradientCheck, VacuousCheck, check_gradients

TURN = 2 * np.pi


@pytest.fixture
def rng():
    return np.random.default_rng(31)


def verdict(forward, backward, x, **settings):
    return GradientCheck(lambda x: (forward(x), x), (x,), **settings).run(backward).verdict


@pytest.mark.parametrize("size", [30.0, 300.0, 3e3, 2e4, 2e5])
def test_a_season_of_period_one(rng, size):
    """A step of a power of two is a whole number of periods: the season would vanish from all differences."""
    x = rng.uniform(size, 3 * size, 6)
    right = verdict(lambda x: x + np.sin(TURN * x), lambda dy, x: dy * (1 + TURN * np.cos(TURN * x)), x)
    without = verdict(lambda x: x + np.sin(TURN * x), lambda dy, x: dy * 1.0, x)
    assert right != "wrong"
    assert without != "passed"
    if size == 30:
        assert (right, without) == ("passed", "wrong")


@pytest.mark.parametrize("size", [1e3, 1e5, 1e7])
def test_a_sine_beside_a_line(rng, size):
    x = rng.uniform(size, 3 * size, 6)
    assert verdict(lambda x: x + np.sin(x), lambda dy, x: dy * (1 + np.cos(x)), x) != "wrong"
    assert verdict(lambda x: x + np.sin(x), lambda dy, x: dy * 1.0, x) != "passed"


@pytest.mark.parametrize("offset", [1e6, 1e8, 1e9, 1e10])
def test_a_residual_at_an_offset(rng, offset):
    x = offset + rng.normal(size=6)
    assert verdict(lambda x: x + np.tanh(x - offset), lambda dy, x: dy * (2 - np.tanh(x - offset) ** 2), x) != "wrong"
    assert verdict(lambda x: x + np.tanh(x - offset), lambda dy, x: dy * 1.0, x) != "passed"


@pytest.mark.parametrize("power", [6, 8, 10, 12, 15])
def test_features_of_high_frequency(rng, power):
    x, frequency = rng.uniform(0.5, 1.0, 6), np.pi * 2.0**power
    wiggle = lambda x: x + np.sin(frequency * x) / frequency  # noqa: E731
    assert verdict(wiggle, lambda dy, x: dy * (1 + np.cos(frequency * x)), x) != "wrong"
    assert verdict(wiggle, lambda dy, x: dy * 1.0, x) != "passed"


def test_zeros_beside_large_numbers():
    x = np.array([0.0, 1e9, -2e9, 0.0, 3e9])
    assert verdict(lambda x: x + np.tanh(x), lambda dy, x: dy * (2 - np.tanh(x) ** 2), x) != "wrong"
    assert verdict(lambda x: x + np.tanh(x), lambda dy, x: dy * 1.0, x) != "passed"


@pytest.mark.parametrize("offset", [1e7, 1e9])
def test_the_first_element_is_not_wrong_while_the_others_are_unknown(rng, offset):
    """Where the largest entry is not known yet, a gradient of 1e-19 beside a slope of 0 is no error."""
    x = offset + 50 * rng.normal(size=(3, 4))

    def logsumexp(x):
        largest = x.max(axis=1, keepdims=True)
        return np.log(np.exp(x - largest).sum(axis=1)) + largest[:, 0]

    def backward(dy, x):
        weights = np.exp(x - x.max(axis=1, keepdims=True))
        return dy[:, None] * weights / weights.sum(axis=1, keepdims=True)

    assert verdict(logsumexp, backward, x) != "wrong"


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0, 2.0], [3.0, 1.0, 1.0, 1.0, 1.0, 0.5]])
@pytest.mark.parametrize("seed", range(3))
def test_sorted_ties_of_several(values, seed):
    """Any order of equal numbers is right; a slope of none of their places is not."""

    def back(dy, order, share=1.0):
        gradient = np.empty_like(dy)
        gradient[order] = share * dy
        return gradient

    check = GradientCheck(
        lambda x: (np.sort(x), np.argsort(x, kind="stable")), np.array(values), seed=seed, allow="kinks"
    )
    assert check.run(back).verdict == "passed"
    assert check.run(lambda dy, order: back(dy, order, 3.0)).verdict == "wrong"


def sorted_rows(x):
    order = np.argsort(x, axis=1, kind="stable")
    return np.take_along_axis(x, order, axis=1), order


def sorted_rows_backward(dy, order, row=0, share=1.0):
    """`share` of one row's second element."""
    gradient = np.empty_like(dy)
    np.put_along_axis(gradient, order, dy, axis=1)
    gradient[row, 1] *= share
    return gradient


@pytest.mark.parametrize("value", [0.01, 0.5, 10.0])
@pytest.mark.parametrize("tied", [3, 4, 5])
def test_sorted_ties_beside_other_rows(value, tied):
    """What rounds is what the tied elements reach, and a copy rounds nothing."""
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=(3, 7))
        x[1, [1, 3, 4, 0, 6][:tied]] = value
        check = GradientCheck(sorted_rows, x, seed=seed, allow="kinks")
        assert check.run(sorted_rows_backward).verdict == "passed"
        assert check.run(lambda dy, order: sorted_rows_backward(dy, order, 1, 1.01)).verdict == "wrong"


def test_sorted_numbers_that_nearly_tie(rng):
    """Larger steps see kinks that lie some hundred units in the last place away: a doubt, and no accusation."""
    for seed in range(3):
        x = 1.7e9 + np.cumsum(np.random.default_rng(seed).uniform(1e-3, 3e-3, (3, 7)), axis=1)[:, ::-1]
        check = GradientCheck(sorted_rows, x, seed=seed, allow="kinks")
        assert check.run(sorted_rows_backward).verdict != "wrong"
        assert check.run(lambda dy, order: sorted_rows_backward(dy, order, 1, -3.0)).verdict != "passed"


@pytest.mark.parametrize(("share", "refused"), [(0.1, False), (0.3, False), (0.7, True)])
def test_the_share_of_kinks_is_one_of_all_elements(rng, share, refused):
    x = rng.normal(size=900)
    x[rng.random(900) < share] = 0.0
    relu = lambda x: (np.maximum(x, 0), x), lambda dy, x: dy * (x > 0), (x,)
    if refused:
        with pytest.raises(VacuousCheck, match="lie at kinks"):
            check_gradients(*relu, full_limit=500)
    else:
        assert check_gradients(*relu, full_limit=500).inputs[0].method == "projection"


def test_many_elements_at_an_offset_accuse_nobody(rng):
    x = 1e9 + rng.normal(size=900)
    right = lambda dy, x: dy * (1 - np.tanh(x - 1e9) ** 2)  # noqa: E731
    assert verdict(lambda x: np.tanh(x - 1e9), right, x, full_limit=500) != "wrong"


def test_a_ripple_that_the_first_look_steps_over():
    """x + 1e-12 sin(1e11 x): over small steps the slope is 1, over far smaller ones from 0.9 to 1.1."""
    x = np.random.default_rng(0).normal(size=5)
    for amplitude, period in ((1e-12, 1e11), (1e-11, 1e10), (1e-10, 1e8)):
        checked = GradientCheck(lambda x, a=amplitude, p=period: (x + a * np.sin(p * x), x), x)
        assert checked.run(lambda dy, c: dy * 1.0).verdict != "passed"


@pytest.mark.parametrize("distance", [1e-4, 5e-5, 2e-5, 1e-6])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_kink_beside_the_point_under_a_curvature(distance, side):
    """relu(x - 100) + x^2 / 2: the gap between the one-sided slopes falls almost as it should."""
    x = np.array([100 + side * distance, 133.0, 107.0, 80.0, 50.0])
    checked = GradientCheck(lambda x: (np.maximum(x - 100, 0) + x**2 / 2, x), x)
    assert checked.run(lambda dy, c: dy * ((c > 100) + c)).verdict == "passed"
    other = (x > 100).astype(float)
    other[0] = 1 - other[0]
    assert checked.run(lambda dy, c: dy * (other + c)).verdict == "wrong"
