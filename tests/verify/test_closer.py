"""What steps smaller than those that contradict an answer may say for it."""

import numpy as np
import pytest

from tinygrad_arith.verify import GradientCheck, check_gradients


@pytest.fixture
def rng():
    return np.random.default_rng(23)


@pytest.mark.parametrize("side", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", [1e-3, 1e-6])
def test_a_kink_that_curvature_covers(rng, size, side):
    """One answer at a kink is as right as another, however small the kink is beside the curvature."""
    x = rng.normal(size=(3, 4))
    x[1, 2] = x[0, 0] = 0.0
    check_gradients(
        lambda x: (size * np.maximum(x, 0) + x * x, x),
        lambda dy, x: dy * (size * np.where(x == 0, side, x > 0) + 2 * x),
        (x,),
    )


@pytest.mark.parametrize("side", [-0.5, 1.5])
def test_beyond_its_sides_an_answer_is_wrong(rng, side):
    x = rng.normal(size=(3, 4))
    x[1, 2] = x[0, 0] = 0.0
    check = GradientCheck(lambda x: (1e-3 * np.maximum(x, 0) + x * x, x), (x,))
    report = check.run(lambda dy, x: dy * (1e-3 * np.where(x == 0, side, x > 0) + 2 * x))
    assert report.verdict == "wrong"
    assert report.inputs[0].where in {(1, 2), (0, 0)}


@pytest.mark.parametrize("side", [0.247, 1.003])
def test_a_little_beyond_is_wrong_too(rng, side):
    """The sides of a leaky relu are 1/4 and 1. Slopes at points nearby say no more than that."""
    x = 1e-7 * rng.normal(size=7)
    x[3] = 0.0
    check = GradientCheck(lambda x: (np.where(x > 0, x, x / 4), x), x, allow="kinks")
    slopes = lambda x, side: np.where(x == 0, side, np.where(x > 0, 1.0, 0.25))  # noqa: E731
    assert check.run(lambda dy, x: dy * slopes(x, side)).verdict == "wrong"
    assert check.run(lambda dy, x: dy * slopes(x, 0.25)).verdict == "passed"


@pytest.mark.parametrize("frequency", [1e4, 1e6, 1e8])
def test_two_scales(rng, frequency):
    """x + sin(f x) / f looks like x from afar. Neither its slope nor that of x is called wrong or passed unseen."""
    x = rng.normal(size=(3, 4))
    check = GradientCheck(lambda x: (x + np.sin(frequency * x) / frequency, x), (x,))
    assert check.run(lambda dy, x: dy * (1 + np.cos(frequency * x))).verdict != "wrong"
    if frequency < 1e8:  # at 1e8 the wiggle is 1e-8 of x, and no step that sees it says it is more than noise
        assert check.run(lambda dy, x: 1.0 * dy).verdict != "passed"
