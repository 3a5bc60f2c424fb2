"""Right backwards that lose digits are undecided, not wrong; wrong ones beside them stay wrong."""

import numpy as np
import pytest

from tinygrad_arith.verify import GradientCheck
from tinygrad_arith.verify.cancellation import nudged


def softmax(x):
    weights = np.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def softmax_gradient(dy, p):
    return p * (dy - (dy * p).sum(-1, keepdims=True))


PAIRS = {
    "the cache has the output": (lambda x: (softmax(x), softmax(x)), softmax_gradient),
    "the cache has the input": (lambda x: (softmax(x), x), lambda dy, x: softmax_gradient(dy, softmax(x))),
}
SATURATED = [("float32", 10, 2), ("float32", 30, 2), ("float32", 30, 0), ("float64", 30, 17), ("float64", 100, 0)]


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize(("dtype", "scale", "seed"), SATURATED)
def test_a_saturated_softmax_is_undecided(pair, dtype, scale, seed):
    x = (scale * np.random.default_rng(seed).normal(size=(4, 3))).astype(dtype)
    forward, backward = pair
    check = GradientCheck(forward, x, seed=seed)
    assert check.run(backward).verdict == "undecided"
    assert check.run(lambda dy, cache: -backward(dy, cache)).verdict == "wrong"
    assert check.run(lambda dy, cache: np.float32(1.01) * backward(dy, cache)).verdict != "passed"


@pytest.mark.parametrize("spread", [1.0, 0.1])
def test_a_variance_of_times(spread):
    x = 1.7e9 + spread * np.random.default_rng(0).normal(size=(3, 5))

    def backward(dy, x):
        return dy[:, None] * 2 * (x - x.mean(-1, keepdims=True)) / x.shape[-1]

    check = GradientCheck(lambda x: (x.var(-1), x), x)
    report = check.run(backward)
    assert report.verdict == "undecided"
    assert "the backward itself is rounded" in str(report)
    assert check.run(lambda dy, x: 1.1 * backward(dy, x)).verdict == "wrong"


def test_several_outputs_and_many_elements():
    x = 1.7e9 + np.random.default_rng(0).normal(size=(3, 5))

    def backward(dy, x):
        return dy[0][:, None] / 5 + dy[1][:, None] * 2 * (x - x.mean(-1, keepdims=True)) / 5

    check = GradientCheck(lambda x: ((x.mean(-1), x.var(-1)), x), x)
    assert check.run(backward).verdict == "undecided"
    x = 1.7e9 + np.random.default_rng(0).normal(size=(30, 5))
    large = GradientCheck(lambda x: (x.var(-1), x), x, full_limit=100)
    assert large.run(lambda dy, x: dy[:, None] * 2 * (x - x.mean(-1, keepdims=True)) / 5).verdict == "undecided"


def test_well_determined_ones_are_wrong_by_little():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(3, 5)) + 100
    check = GradientCheck(lambda x: (np.sin(x), x), x)
    assert check.run(lambda dy, x: 1.0005 * dy * np.cos(x)).verdict == "wrong"
    one = x[1, 2]  # a comparison of a nudged number turns out otherwise: that is no cancellation
    assert check.run(lambda dy, x: dy * np.cos(x) * np.where(x == one, 1.001, 1.0)).verdict == "wrong"


def test_a_fault_of_float32_alone_is_no_rounding():
    def backward(dy, x):
        return dy * np.cos(x) * x.dtype.type(1.001 if x.dtype == np.float32 else 1.0)

    x = np.random.default_rng(5).normal(size=(3, 5)).astype(np.float32)
    assert GradientCheck(lambda x: (np.sin(x), x), x).run(backward).verdict == "wrong"


def test_what_float32_cannot_hold_is_no_cancellation():
    x = np.random.default_rng(6).normal(size=(2, 5))
    x[0, 0] = -590.0
    check = GradientCheck(lambda x: (np.logaddexp(0, x), x), x)
    assert check.run(lambda dy, x: dy * np.exp(-np.logaddexp(0, -x))).passed
    factor = np.ones_like(x)
    factor[0, 0] = 0.8
    assert check.run(lambda dy, x: factor * dy * np.exp(-np.logaddexp(0, -x))).verdict == "wrong"


def test_equal_numbers_are_nudged_alike():
    x = np.array([1.5, 0.0, 1.5, -2.0, np.inf])
    moved = nudged(x, 1)
    assert moved[0] == moved[2] != 1.5
    assert (moved[1], moved[4]) == (0.0, np.inf)
    assert abs(moved[3] + 2) == np.spacing(2.0) or abs(moved[3] + 2) == np.spacing(1.0) * 2
    assert (nudged(np.arange(3), 1) == np.arange(3)).all()
