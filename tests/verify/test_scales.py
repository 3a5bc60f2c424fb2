"""Steps follow the scale of each element: inputs of 1e-12 to 1e12, edges of domains, steep elements, ties, kinks."""

import math

import numpy as np
import pytest

from tinygrad_arith.verify import GradientCheck, GradientMismatch, check_gradients
from tinygrad_arith.verify.noise import roughness

POSITIVE = np.array([[1.0, 0.6, 1.4], [0.7, 1.2, 0.9]])
SMOOTH = {
    "log": (np.log, lambda dy, x: dy / x),
    "sqrt": (np.sqrt, lambda dy, x: 0.5 * dy / np.sqrt(x)),
    "1/x": (lambda x: 1 / x, lambda dy, x: -dy / x**2),
    "x log x": (lambda x: x * np.log(x), lambda dy, x: dy * (np.log(x) + 1)),
    "x^1.5": (lambda x: x**1.5, lambda dy, x: 1.5 * dy * np.sqrt(x)),
}


def check(function, x, **settings):
    return GradientCheck(lambda x: (function(x), x), x, **settings)


def off_at(index, factor, backward):
    """The backward with one element wrong by a factor."""

    def wrong(dy, x):
        gradient = np.array(backward(dy, x))
        gradient[index] *= factor
        return gradient

    return wrong


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("scale", [1e-12, 1e-8, 1e-5, 1e-3, 1.0, 1e5, 1e12])
def test_right_ones_pass_and_wrong_ones_do_not(name, scale):
    function, backward = SMOOTH[name]
    checked = check(function, scale * POSITIVE)
    assert checked.run(backward).verdict == "passed"
    assert checked.run(off_at((1, 0), 1.001, backward)).verdict == "wrong"


def test_mixed_scales_in_one_array():
    x = np.array([[1e-12, 3.0, 1e-5], [4e9, 1e-7, 0.2]])
    for function, backward in SMOOTH.values():
        checked = check(function, x)
        assert checked.run(backward).verdict == "passed"
        for index in np.ndindex(x.shape):
            assert checked.run(off_at(index, 0.0, backward)).verdict == "wrong"


def test_large_inputs_such_as_times():
    times = 1.7e9 + np.array([[3.0, 80.0, 41.0], [7.0, 22.0, 65.0]])
    day = 2 * np.pi / 86400
    assert check(lambda t: np.sin(day * t), times).run(lambda dy, t: day * dy * np.cos(day * t)).verdict == "passed"
    assert check(lambda t: np.exp(t - 1.7e9 - 50), times).run(lambda dy, t: dy * np.exp(t - 1.7e9 - 50)).passed
    assert check(lambda t: 3 * t, times).run(lambda dy, t: 3 * dy).passed
    assert check(lambda t: 3 * t, times).run(lambda dy, t: 3.01 * dy).verdict == "wrong"


def test_a_steep_element_is_no_kink():
    x = np.array([1e-6, 0.3, 0.7, 1.1, 2.0])
    for shift in (1e-8, 3e-8, 2e-7):
        assert check(np.log, x).run(lambda dy, x, s=shift: dy / (x + s)).verdict == "wrong"
    sharp = np.array([4e-7, 0.3, 0.7, 1.1, 2.0])

    def slope(dy, x):
        return dy * 1e6 * (1 - np.tanh(x * 1e6) ** 2)

    assert check(lambda x: np.tanh(x * 1e6), sharp).run(slope).passed
    assert check(lambda x: np.tanh(x * 1e6), sharp).run(off_at(0, 0.99, slope)).verdict == "wrong"


def test_the_edge_of_a_domain():
    x = np.array([0.0, 1.0, 0.25, 0.5])  # x ** 1.5 is not defined below 0; its slope at 0 is 0
    with np.errstate(invalid="ignore"):
        assert (
            check(lambda x: np.sqrt(x) ** 3 + 2 * x, x).run(lambda dy, x: dy * (1.5 * np.sqrt(x) + 2)).verdict
            != "wrong"
        )
        assert (
            check(lambda x: np.sqrt(x) ** 3 + 2 * x, x).run(lambda dy, x: dy * (1.5 * np.sqrt(x) + 9)).verdict
            == "wrong"
        )


def test_a_forward_that_raises_outside_its_domain():
    x = np.array([1e-9, 0.5, 3.0])
    assert check(np.vectorize(math.log), x).run(lambda dy, x: dy / x).passed
    with pytest.raises(ValueError, match=r"domain|positive"):  # the words are Python's, which change
        check(np.vectorize(math.log), -x)


@pytest.mark.parametrize("beside", [1e-5, 1e-8, 1e-10])
def test_beside_a_kink_there_is_one_slope(beside):
    x = np.array([0.3, -0.8, 2.0, 1.1])
    x[2] = 1 + beside
    kinked = check(lambda x: np.abs(x - 1), x)
    assert kinked.run(lambda dy, x: dy * np.sign(x - 1)).passed
    for wrong in (0.0, 0.5, -1.0):
        assert kinked.run(lambda dy, x, w=wrong: dy * np.where(x == 1 + beside, w, np.sign(x - 1))).verdict == "wrong"


class TestTies:
    """At a tie of a maximum any split of the slope is right, and none that does not add up."""

    x = np.array([[0.5, 2.0, 2.0, -1.0], [1.5, 0.2, 0.1, 1.0]])

    def verdict(self, *shares, function=lambda x: x.max(axis=1), x=None, at=((0, 1), (0, 2))):
        x = self.x if x is None else x

        def backward(dy, x):
            gradient = np.where(x == x.max(axis=1, keepdims=True), dy[:, None], 0.0)
            for index, share in zip(at, shares, strict=True):
                gradient[index] = share * dy[index[0]]
            return gradient

        return check(function, x).run(backward).verdict

    @pytest.mark.parametrize("shares", [(1, 0), (0, 1), (0.5, 0.5), (0.25, 0.75)])
    def test_splits(self, shares):
        assert self.verdict(*shares) == "passed"

    @pytest.mark.parametrize("shares", [(0, 0), (1, 1), (0.5, 0.4), (0.5, 0), (1.5, -0.5)])
    def test_what_does_not_add_up(self, shares):
        assert self.verdict(*shares) == "wrong"

    def test_three_at_once(self):
        x = self.x.copy()
        x[0, 3] = 2.0
        at = ((0, 1), (0, 2), (0, 3))
        for right in ((1, 0, 0), (0, 0, 1), (1 / 3, 1 / 3, 1 / 3)):
            assert self.verdict(*right, x=x, at=at) == "passed"
        for wrong in ((1, 1, 1), (0, 0, 0), (0.5, 0.5, 0.5), (1, 1, 0)):
            assert self.verdict(*wrong, x=x, at=at) == "wrong"

    def test_a_minimum_and_unequal_rates(self):
        x = np.array([1.0, 2.0, 0.3])  # 2 a and b tie

        def backward(a, b):
            return lambda dy, x: dy * np.array([a, b, 1.0])

        checked = check(lambda x: np.array([np.minimum(2 * x[0], x[1]) + x[2]]), x, allow="kinks")
        for right in ((2, 0), (0, 1), (1, 0.5)):
            assert checked.run(backward(*right)).verdict == "passed"
        for wrong in ((2, 1), (0, 0), (1, 0)):
            assert checked.run(backward(*wrong)).verdict == "wrong"


def test_a_tie_between_two_inputs():
    a = np.array([0.0, 1.0, 2.0, 3.0, 4.5])
    b = a + np.array([0.0, 1.0, -1.0, 1.0, 0.5])  # the first two are equal

    def forward(a, b):
        return np.maximum(a, b), (a, b)

    def split(first, second):
        def backward(dy, cache):
            a, b = cache
            return dy * np.where(a == b, first, a > b), dy * np.where(a == b, second, b > a)

        return GradientCheck(forward, (a, b)).run(backward).verdict

    assert [split(*s) for s in ((1, 0), (0, 1), (0.5, 0.5))] == ["passed"] * 3
    assert [split(*s) for s in ((1, 1), (0, 0), (0.3, 0.3))] == ["wrong"] * 3


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_kinks_that_are_flat_to_one_side(value):
    x = value + np.array([0.0, 1.0, -1.0, 2.5, -3.0])
    pairs = [
        (lambda x: np.minimum(x, value), lambda dy, x: dy * (x <= value)),
        (lambda x: np.maximum(-x, -value), lambda dy, x: -dy * (x <= value)),
        (lambda x: np.maximum(x, value), lambda dy, x: dy * (x >= value)),
    ]
    for function, backward in pairs:
        assert check(function, x).run(backward).verdict == "passed"
        assert check(function, x).run(lambda dy, x, b=backward: b(dy, x) - 2 * dy * (x == value)).verdict == "wrong"


def test_nan_differences_accuse_nobody():
    x = 1e-9 * np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]])
    with np.errstate(invalid="ignore"):
        assert check_gradients(lambda x: (np.sqrt(x), x), lambda dy, x: 0.5 * dy / np.sqrt(x), x).passed
        with pytest.raises(GradientMismatch) as caught:
            check_gradients(lambda x: (np.sqrt(x), x), lambda dy, x: dy / np.sqrt(x), x)
    assert [finding.kind for finding in caught.value.findings] == ["factor"]


FLAT = {  # flat below 1: the function, its slope where it is on
    "relu": (lambda x: np.maximum(x - 1, 0), lambda x: np.ones_like(x)),
    "exp": (lambda x: np.maximum(np.exp(x), np.e), np.exp),
    "square": (lambda x: np.maximum(x * x, 1), lambda x: 2 * x),
    "expm1": (lambda x: np.expm1(np.maximum(x - 1, 0)), lambda x: np.exp(x - 1)),
}
DISTANCES = 10.0 ** np.arange(-10, -1, 0.35)


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("side", [-1, 1])
def test_a_point_beside_a_flat_side_is_no_kink(name, side):
    """However far the kink is, an answer between the slopes of its sides is wrong."""
    function, slope = FLAT[name]
    for distance in DISTANCES[list(FLAT).index(name) % 2 :: 2]:
        x = np.array([1.43, 1 + side * distance, 1.7])
        checked = check(function, x)
        for wrong in (0.01, 0.5):
            share = np.where(np.abs(x - 1) < 0.1, wrong if side < 0 else 1 - wrong, 1.0)
            verdict = checked.run(lambda dy, x, s=share: dy * s * slope(x), diagnosis=False).verdict
            assert verdict != "passed", (distance, wrong)
        assert checked.run(lambda dy, x: dy * (x > 1) * slope(x), diagnosis=False).verdict != "wrong", distance


@pytest.mark.parametrize("function", ["exp", "power"])
@pytest.mark.parametrize("second", [-1.1, -1.585, -1.9])
def test_an_element_with_an_output_of_its_own(function, second):
    """The largest entry is in another output: rounding hides nothing of this one."""
    f, slope = {
        "exp": (lambda x: np.exp(5 * x), lambda x: 5 * np.exp(5 * x)),
        "power": (lambda x: 10.0 ** (4 * x), lambda x: 4 * np.log(10) * 10.0 ** (4 * x)),
    }[function]
    for first in (1.5, -0.3):
        checked = check(f, np.array([first, second]))
        assert checked.run(lambda dy, x: dy * slope(x)).verdict == "passed"
        for factor in (1.001, 0.999):
            assert checked.run(off_at(1, factor, lambda dy, x: dy * slope(x))).verdict == "wrong"


@pytest.mark.parametrize("k", [10, 20, 50, 100])
def test_fast_functions(k):
    """sin(k x) rounds k x before it rounds anything else."""
    for seed in range(8):
        checked = check(lambda x: np.sin(k * x), np.random.default_rng(seed).normal(size=3))
        assert checked.run(lambda dy, x: dy * k * np.cos(k * x)).verdict == "passed"
        assert checked.run(off_at(2, 1.001, lambda dy, x: dy * k * np.cos(k * x))).verdict == "wrong"


@pytest.mark.parametrize("factor", [3.0, 5.0, 7.0, 1 / 3, 20.0])
def test_the_rounding_of_a_product_within_is_seen(factor):
    """k x must not round alike at all points of a line. (Of few points some are smooth by chance.)"""
    ratios = []
    for seed in range(20):
        x = np.random.default_rng(seed).uniform(1, 2, 5)
        nearby = x * (1 + 1e-9 * np.random.default_rng(seed + 100).uniform(-1, 1, (50, 5)))
        errors = (np.sin(factor * nearby) - np.sin(factor * nearby.astype(np.longdouble))).astype(float)
        at_once = roughness(lambda a: np.sin(factor * a), x, np.sin(factor * x))
        ratios += (at_once / np.sqrt((errors**2).mean(axis=0))).tolist()
    assert np.quantile(ratios, 0.05) > 0.5
    assert min(ratios) > 0.1


@pytest.mark.parametrize("seed", range(3))
def test_the_rounding_of_large_arguments_is_seen(seed):
    """day t is rounded at 1e-11, though neither t nor the sine is."""
    t = 1.7e9 + np.random.default_rng(seed).uniform(3, 80, (2, 3))
    for day in (2 * np.pi / 86400, 1 / 3600, 1e-5):
        noise = roughness(lambda a, day=day: np.sin(day * a).ravel(), t, np.sin(day * t).ravel())
        assert (noise > 1e-13).all()


def test_bounds_follow_the_largest_entry():
    """The first steps cross the kink and see slopes of 0.1. The gradient is 1e-7: by that, elements are judged."""
    x = np.array([9999.999957492142, 10000.000000099119, 9999.997780687465, 9999.760179668046, 9999.999988128224])
    checked = check(lambda x: np.maximum(x - 1e4, 0) ** 2, x)
    assert checked.run(lambda dy, x: 2 * dy * np.maximum(x - 1e4, 0)).verdict == "passed"
    assert checked.run(lambda dy, x: 2.002 * dy * np.maximum(x - 1e4, 0)).verdict == "wrong"


@pytest.mark.parametrize("distance", [1e-13, 4.7e-12, -4.7e-12, -1e-11, 1e-10])
@pytest.mark.parametrize("c", [1e-6, 1.0, 3e5])
def test_a_few_last_bits_from_a_kink_or_cusp_nothing_is_accused(c, distance):
    x = c * (1 + np.array([3e-9, 2e-6, 0.2, distance, -0.01, -3e-6]))
    with np.errstate(divide="ignore"):
        for function, slope in (
            (lambda x: np.sqrt(np.abs(x - c)), lambda x: 0.5 * np.sign(x - c) / np.sqrt(np.abs(x - c))),
            (lambda x: np.maximum(np.exp(x / c), np.e), lambda x: np.where(x > c, np.exp(x / c) / c, 0)),
            (lambda x: np.maximum(x - c, 0), lambda x: 1.0 * (x > c)),
        ):
            report = check(function, x, allow="kinks").run(lambda dy, x, s=slope: dy * s(x), diagnosis=False)
            assert report.verdict != "wrong", str(report)


@pytest.mark.parametrize("name", ["square", "cos", "cube", "sqrt(1 + x^2)"])
def test_at_zero_an_even_function_is_at_rest(name):
    """Both sides rise alike: the difference is exactly 0, and so is the slope."""
    function, slope = {
        "square": (lambda x: x * x, lambda x: 2 * x),
        "cos": (np.cos, lambda x: -np.sin(x)),
        "cube": (lambda x: x**3, lambda x: 3 * x * x),
        "sqrt(1 + x^2)": (lambda x: np.sqrt(1 + x * x), lambda x: x / np.sqrt(1 + x * x)),
    }[name]
    checked = check(function, np.array([0, 1, -2.0, 3]))
    assert checked.run(lambda dy, x: dy * slope(x)).verdict == "passed"
    for wrong in (1.0, 1e-3):
        assert checked.run(lambda dy, x, w=wrong: dy * np.where(x == 0, w, slope(x))).verdict == "wrong"


def test_a_flat_side_beside_a_steep_one():
    """log(max(x, 1e-4)) rises fastest at its kink, as a jump would; below it, it stays."""
    x = np.array([0.3, 5e-5, 0.01, 0.6])
    checked = check(lambda x: np.log(np.maximum(x, 1e-4)), x)
    right = lambda dy, x: dy * np.where(x > 1e-4, 1 / x, 0)  # noqa: E731
    assert checked.run(right).verdict == "passed"
    assert checked.run(lambda dy, x: right(dy, x) + 0.1 * (x < 1e-4)).verdict == "wrong"


@pytest.mark.parametrize("scale", [1e-300, 1e200, 1e300])
def test_a_linear_function_at_the_ends_of_the_range(scale):
    check = GradientCheck(lambda x: (3 * x, x), scale * np.random.default_rng(3).normal(size=(3, 4)))
    assert check.run(lambda dy, x: 3 * dy).passed
    assert check.run(lambda dy, x: 3.002 * dy).verdict == "wrong"


def test_subnormal_inputs_are_undecided():
    x = 5e-324 * np.round(3 * np.random.default_rng(3).normal(size=(3, 4)))
    report = GradientCheck(lambda x: (np.abs(x), x), x).run(lambda dy, x: dy * np.sign(x))
    assert report.verdict == "undecided"
    assert "has few digits itself" in str(report)
