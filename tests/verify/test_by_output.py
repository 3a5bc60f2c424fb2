"""Each output by itself: what is small beside another output is not left out unseen."""

import numpy as np
import pytest

from tinygrad_arith.verify import GradientCheck, GradientMismatch, check_gradients

SIZE = 3e8  # the variance has gradients of this size, the mean of 1 / 4


@pytest.fixture
def x(rng):
    return SIZE * rng.normal(size=(3, 4))


@pytest.fixture
def rng():
    return np.random.default_rng(17)


def forward(x):
    mean = x.mean(axis=1)  # (n,)
    centred = x - mean[:, None]  # (n, C)
    return (mean, (centred**2).mean(axis=1)), centred


def backward(dy, centred, share=1.0):
    mean, variance = dy
    count = centred.shape[1]
    return share * mean[:, None] / count + 2 * variance[:, None] * centred / count


def test_the_right_one_passes(x):
    check_gradients(forward, backward, (x,))


@pytest.mark.parametrize("share", [0.0, 0.5, -1.0, 1.01])
def test_a_small_output_is_not_left_out(x, share):
    with pytest.raises(GradientMismatch, match=r"of output 0 by itself the gradient of x"):
        check_gradients(forward, lambda dy, cache: backward(dy, cache, share), (x,))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_in_both_precisions(rng, dtype):
    """Of 1e-6 of the other: below what float32 is asked for."""
    x = rng.normal(size=(2, 5)).astype(dtype)
    pair = lambda x: ((1e-6 * np.sin(x), x * x), x)  # noqa: E731
    right = lambda dy, x: (1e-6 * np.cos(x) * dy[0] + 2 * x * dy[1]).astype(x.dtype)  # noqa: E731
    check_gradients(pair, right, (x,))
    with pytest.raises(GradientMismatch):
        check_gradients(pair, lambda dy, x: 2 * x * dy[1], (x,))


def test_outputs_that_are_no_numbers_lie_between(x):
    """A count and a mask have no gradient; the outputs after them are still found."""

    def with_counts(x):
        (mean, variance), cache = forward(x)
        return (x > 0, variance, np.array(x.size), mean), cache

    def of_both(dy, cache, share=1.0):
        return backward((dy[3], dy[1]), cache, share)

    check_gradients(with_counts, of_both, (x,))
    with pytest.raises(GradientMismatch, match="of output 1 by itself"):
        check_gradients(with_counts, lambda dy, cache: of_both(dy, cache, 0.0), (x,))


def test_kinks_are_left_to_the_whole(rng):
    x = rng.normal(size=(3, 4))
    x[1, 2] = x[0, 0] = 0.0
    for side in (0.0, 0.5, 1.0):
        check_gradients(
            lambda x: ((1e-6 * np.maximum(x, 0), x * x), x),
            lambda dy, x, side=side: 1e-6 * dy[0] * np.where(x == 0, side, x > 0) + 2 * x * dy[1],
            (x,),
        )


def test_an_output_whose_cotangent_is_zero_has_no_gradient(x):
    dy = np.zeros(3), np.array([0.7, -1.2, 0.4])
    check_gradients(forward, lambda dy, cache: backward(dy, cache, 0.0), (x,), cotangent=dy)


SMALL = 10.0 ** -np.arange(0, 13, 3)


@pytest.mark.parametrize("size", SMALL)
@pytest.mark.parametrize("pair", ["sin and cos", "exp and square", "sum and product"])
def test_a_thousandth_of_a_small_output(rng, size, pair):
    """By itself, each output is held to what all of them are held to."""
    first, second, slope_1, slope_2 = {
        "sin and cos": (np.sin, np.cos, np.cos, lambda x: -np.sin(x)),
        "exp and square": (np.exp, lambda x: x * x, np.exp, lambda x: 2 * x),
        "sum and product": (lambda x: 3 * x, lambda x: x * np.exp(x), lambda x: 3.0, lambda x: (1 + x) * np.exp(x)),
    }[pair]
    x = rng.normal(size=(3, 5))
    check = GradientCheck(lambda x: ((first(x), size * second(x)), x), (x,))

    def with_share(share, at=...):
        def backward(dy, x):
            shares = np.ones(x.shape)
            shares[at] = share
            return dy[0] * slope_1(x) + size * shares * dy[1] * slope_2(x)

        return check.run(backward, diagnosis=False).verdict

    assert with_share(1.0) == "passed"
    for share in (1.001, 0.999, 0.0):
        assert with_share(share) == "wrong"
    assert with_share(1.001, at=(1, 2)) == "wrong"


def test_an_output_that_rounding_hides_is_undecided(rng):
    """1e-8 cos(x) + 1e6 is known to a hundredth. Beside sin(x) that would not be noticed."""
    x = rng.normal(size=(3, 5))
    check = GradientCheck(lambda x: ((np.sin(x), 1e-8 * np.cos(x) + 1e6), x), (x,))
    for share in (1.0, 1.01):
        report = check.run(lambda dy, x, s=share: dy[0] * np.cos(x) - s * 1e-8 * dy[1] * np.sin(x))
        assert report.verdict == "undecided"
        assert "of output 1 by itself" in str(report)
