"""What rounding hides: it enters every estimate, and what it hides is undecided, neither passed nor wrong."""

import contextlib

import numpy as np
import pytest

from tinygrad_arith.verify import (
    GradientCheck,
    GradientFailure,
    GradientMismatch,
    GradientUndecided,
    VacuousCheck,
    check_gradients,
    check_module,
)
from tinygrad_arith.verify.noise import exact_outputs, own_rounding, roughness

X = np.random.default_rng(2).normal(size=(2, 5))


def verdict(forward, backward, x=X, **settings):
    return GradientCheck(lambda x: (forward(x), x), x, **settings).run(backward).verdict


@pytest.mark.parametrize(("size", "large", "small"), [(1e6, 100.0, 1e-4), (1e5, 100.0, 3e-5), (1e7, 1e4, 3e-3)])
def test_a_small_entry_beside_large_ones_in_a_large_sum(size, large, small):
    """Two sums that rounding made equal are no derivative of zero."""
    for seed in range(12):
        x = np.random.default_rng(seed).normal(size=5)
        weight = np.array([large, -2 * large, large / 2, -large, small])

        def forward(x, weight=weight):
            return size + (weight * np.sin(x)).sum()

        def backward(dy, x, weight=weight):
            return dy * weight * np.cos(x)

        assert verdict(forward, backward, x) == "passed"
        assert verdict(forward, lambda dy, x, b=backward: b(dy, x) * np.array([1, 1, 1, 1, 0]), x) == "wrong"


def test_a_sum_of_hundreds_of_cross_entropies():
    """One in each column: NumPy is slow along short rows."""
    rng = np.random.default_rng(0)
    logits, labels = 20 * rng.normal(size=(3, 300)), rng.integers(0, 3, 300)
    columns = np.arange(300)

    def forward(z):
        shifted = z - z.max(axis=0)
        return (np.log(np.exp(shifted).sum(axis=0)) - shifted[labels, columns]).sum(), z

    def backward(dy, z):
        e = np.exp(z - z.max(axis=0))
        p = e / e.sum(axis=0)
        p[labels, columns] -= 1
        return dy * p

    report = GradientCheck(forward, logits).run(backward)
    assert report.verdict != "wrong"  # the tails of the softmax are 1e-13: some of them rounding hides
    assert report.inputs[0].undecided < 180

    def one_wrong(dy, z):
        gradient = backward(dy, z)
        gradient[1, 17] *= 1.001 if abs(gradient[1, 17]) > 1e-6 else 0.0
        gradient[:, 18] *= 1.001
        return gradient

    assert GradientCheck(forward, logits).run(one_wrong).verdict == "wrong"


@pytest.mark.parametrize("offset", [1e5, 1e8])
def test_an_offset_never_makes_a_right_backward_wrong(offset):
    assert verdict(lambda x: np.sin(x) + offset, lambda dy, x: dy * np.cos(x)) in ("passed", "undecided")
    assert verdict(lambda x: np.sin(x) + offset, lambda dy, x: 1.01 * dy * np.cos(x)) == "wrong"
    assert verdict(lambda x: (x * x).sum() / 2 + 100 * offset, lambda dy, x: dy * x) != "wrong"


def test_rounding_within_a_forward_counts_although_the_outputs_do_not_show_it():
    for inner in (1e4, 1e6):
        assert verdict(lambda x, i=inner: np.sin((x + i) - i), lambda dy, x: dy * np.cos(x)) != "wrong"
    x = np.random.default_rng(0).uniform(1, 5, 6) * 1e-6
    assert verdict(lambda x: (1 - np.cos(x)) / x, lambda dy, x: 0.5 * dy, x) != "wrong"


def test_tails_and_small_curvatures_at_ordinary_scales_are_decided():
    assert verdict(lambda x: 1 + 1e-6 * x * x, lambda dy, x: 2e-6 * x * dy) == "passed"
    assert verdict(lambda x: 1 + 1e-6 * x * x, lambda dy, x: 2.002e-6 * x * dy) == "wrong"


def lost(x):
    return np.sin(x) + 1e13, x


def partly_lost(x):
    """Where x is large its sine is hidden, where it is small a square is seen."""
    return np.where(x > 0, np.sin(x) + 1e13, x * x), x


def partly_lost_backward(dy, x):
    return dy * np.where(x > 0, np.cos(x), 2 * x)


def test_undecided_is_said_raised_and_can_be_allowed_by_name():
    check = GradientCheck(lost, X)
    report = check.run(lambda dy, x: dy * np.cos(x))
    assert (report.verdict, report.passed, report.inputs[0].wrong) == ("undecided", False, 0)
    assert report.to_dict()["verdict"] == report.to_dict()["inputs"][0]["verdict"] == "undecided"
    said = str(report)
    for part in ("UNDECIDED", "elements are undecided", "give or take", "to decide it takes", "offset", "wider dtype"):
        assert part in said
    with pytest.raises(GradientUndecided, match="undecided") as caught:
        check_gradients(lost, lambda dy, x: dy * np.cos(x), X)
    assert not isinstance(caught.value, GradientMismatch)
    assert isinstance(caught.value, GradientFailure)
    allowed = check_gradients(partly_lost, partly_lost_backward, X, undecided="x")
    assert allowed.passed
    assert 0 < allowed.inputs[0].undecided < allowed.inputs[0].checked
    assert "(allowed)" in str(allowed)
    with pytest.raises(ValueError, match="undecided names y"):
        check_gradients(lost, lambda dy, x: dy, X, undecided=("y",))
    with pytest.raises(GradientMismatch):
        check_gradients(partly_lost, lambda dy, x: 100 * partly_lost_backward(dy, x), X, undecided="x")


def test_what_is_hidden_whole_cannot_be_allowed():
    """Any backward would pass."""
    for backward in (lambda dy, x: dy * np.cos(x), lambda dy, x: 0.1 * x * dy):
        with pytest.raises(VacuousCheck, match="rounding hides every element of the gradient of x"):
            check_gradients(lambda x: (np.sin(x) + 1e16, x), backward, X, undecided="x")


def test_a_wrong_one_among_hidden_ones_is_counted_apart():
    wrong = GradientCheck(partly_lost, X).run(lambda dy, x: 1.01 * partly_lost_backward(dy, x))
    entry = wrong.inputs[0]
    assert entry.wrong
    assert entry.undecided
    assert f"{entry.undecided} are undecided" in str(wrong)
    assert entry.largest_absolute_error == pytest.approx(0.01 * abs(entry.numeric), rel=2.0)
    assert not any("right at all others:" in finding.text for finding in entry.findings)


def test_near_large_inputs_all_wrong_ones_are_counted():
    """Steps that suit one element suit the others."""
    x = 1e9 + np.random.default_rng(0).normal(size=(3, 4))
    report = GradientCheck(lambda x: (np.sin(x), x), x).run(lambda dy, x: 1.001 * dy * np.cos(x))
    assert report.inputs[0].wrong >= 10
    assert "1.001" in report.inputs[0].findings[0].text


def test_an_answer_beyond_a_kink_is_said_to_be():
    x = np.random.default_rng(0).normal(size=(3, 4))
    x[0, 0] = 0.0
    report = GradientCheck(lambda x: (np.abs(x), x), x).run(lambda dy, x: dy * (3.0 * (x == 0) + np.sign(x)))
    assert report.verdict == "wrong"
    assert "at a kink whose slopes are" in str(report)
    assert report.inputs[0].findings == ()


def test_roughness_is_that_of_the_forward():
    x = np.random.default_rng(1).normal(size=(3, 4))

    def rough(function):
        return roughness(lambda a: function(a).ravel(), x, function(x).ravel())

    assert (rough(np.sin) <= 16 * own_rounding(np.sin(x).ravel())).all()
    assert (rough(lambda a: (a + 1e8) - 1e8) > 1e-9).all()
    assert (rough(lambda a: (a + 1e8) - 1e8) < 1e-7).all()
    assert exact_outputs(lambda a: np.maximum(a, 2 * a).ravel(), x).all()
    assert not exact_outputs(lambda a: (a / 3).ravel(), x).any()


def test_a_right_backward_in_float32_is_not_accused_of_its_inputs_rounding():
    def forward(x):
        centred = x - x.mean(-1, keepdims=True)
        scale = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return centred * scale, (centred * scale, scale)

    def backward(dy, cache):
        y, scale = cache
        return scale * (dy - dy.mean(-1, keepdims=True) - y * (dy * y).mean(-1, keepdims=True))

    for offset in (0.0, 1e2, 1e4):
        x = (np.random.default_rng(1).normal(size=(3, 7)) + offset).astype(np.float32)
        assert GradientCheck(forward, x).run(backward).verdict != "wrong"
        assert GradientCheck(forward, x).run(lambda dy, cache: -backward(dy, cache)).verdict == "wrong"


NEAR_ONE = {  # functions that add their small input to 1 first: what is left of it has six digits
    "arccos(1 - x)": (lambda x: np.arccos(1 - x), lambda dy, x: dy / np.sqrt(1 - (1 - x) ** 2)),
    "arcsin(1 - x)": (lambda x: np.arcsin(1 - x), lambda dy, x: -dy / np.sqrt(1 - (1 - x) ** 2)),
    "arctanh(1 - x)": (lambda x: np.arctanh(1 - x), lambda dy, x: -dy / (1 - (1 - x) ** 2)),
    "log(1 - exp(-x))": (lambda x: np.log(1 - np.exp(-x)), lambda dy, x: dy * np.exp(-x) / (1 - np.exp(-x))),
}


@pytest.mark.parametrize("name", NEAR_ONE)
@pytest.mark.parametrize("scale", [1e-8, 1e-9, 1e-10])
def test_a_small_input_beside_one_is_seen_as_far_as_its_digits_go(name, scale):
    forward, backward = NEAR_ONE[name]
    for seed in range(2):
        x = scale * np.random.default_rng(seed).uniform(0.6, 1.5, (2, 3))
        assert verdict(forward, backward, x) == "passed"
        assert verdict(forward, lambda dy, x: 1.01 * backward(dy, x), x) == "wrong"


@pytest.mark.parametrize("name", NEAR_ONE)
def test_what_its_digits_hide_does_not_pass(name):
    forward, backward = NEAR_ONE[name]
    x = 1e-10 * np.random.default_rng(0).uniform(0.6, 1.5, (2, 3))
    with pytest.raises((GradientFailure, VacuousCheck)):
        check_gradients(lambda x: (forward(x), x), lambda dy, x: 1.0001 * backward(dy, x), x)
    with pytest.raises((GradientFailure, VacuousCheck)):
        check_gradients(lambda x: (forward(x), x), backward, x / 100)


class Scaled:
    """A module of one parameter."""

    def __init__(self, offset):
        self.array, self.grad, self.offset = np.random.default_rng(0).normal(size=(2, 3)), None, offset

    def named_parameters(self):
        return {"w": self}


class Loss:
    def __init__(self, module, factor):
        self.module, self.factor = module, factor
        self.data = np.array((module.array**2).sum() + module.offset)

    def backward(self, dy):
        self.module.grad = self.factor * dy * self.module.array


def test_a_module_has_the_three_verdicts():
    assert check_module(lambda m: Loss(m, 2), Scaled(0.0)).verdict == "passed"
    with pytest.raises(GradientMismatch):
        check_module(lambda m: Loss(m, 2.01), Scaled(1e6))
    with pytest.raises(GradientUndecided):
        check_module(lambda m: Loss(m, 2), Scaled(1e14))
    assert check_module(lambda m: Loss(m, 2), Scaled(1e14), undecided="w").passed


@pytest.mark.parametrize("offset", [8.6e7, 2e8, 1e9])
def test_a_constant_by_saturation_is_rounded_as_coarsely_as_elsewhere(offset):
    """(tanh(x) + 1e8) - 1e8 stays 1 around 16, and moves by steps of 1e-8 around 0."""
    x = np.array([30.0, 15.0])

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    checked = GradientCheck(lambda x: ((sigmoid(x) + offset) - offset, x), x)
    with contextlib.suppress(VacuousCheck):  # a forward that answers in steps
        assert checked.run(lambda dy, c: dy * sigmoid(c) * sigmoid(-c)).verdict != "wrong"


@pytest.mark.parametrize("logits", [[-50.0, -100.0, 0.0], [0.3, 48.2, -70.8], [0.01, 73.0, 0.1, 6.4]])
def test_a_saturated_softmax_with_an_exact_backward(logits):
    def softmax(x):
        shifted = np.exp(x - x.max())
        p = shifted / shifted.sum()
        return p, p

    def backward(dy, p):
        return p * ((dy[:, None] - dy[None, :]) * p[None, :]).sum(axis=1)

    for seed in range(3):
        with contextlib.suppress(VacuousCheck):  # its gradient is lost in rounding
            assert GradientCheck(softmax, np.array(logits), seed=seed).run(backward).verdict != "wrong"
