"""Inputs that people have: byte orders, long doubles, lists, numbers, matrices, masks; caches that are used up."""

import re
from collections import deque

import numpy as np
import pytest

from tinygrad_arith.verify import GradientMismatch, VacuousCheck, check_gradients, from_vjp

X = np.random.default_rng(6).normal(size=(2, 3))
TANH, WRONG = from_vjp(np.tanh, lambda dy, x: dy * (1 - np.tanh(x) ** 2)), lambda dy, c: dy * (1 - np.tanh(c[0][0]))


def judged(x, **settings):
    """Passes with the right backward, and does not with a wrong one."""
    report = check_gradients(*TANH, x, **settings)
    with pytest.raises(GradientMismatch):
        check_gradients(TANH[0], WRONG, x, **settings)
    return report


@pytest.mark.parametrize("dtype", [">f8", "<f8", ">f4", "<f4", ">f2", "<f2", "longdouble"])
def test_byte_orders_and_precisions(dtype):
    judged(X.astype(dtype))


@pytest.mark.parametrize(
    "x",
    [X.tolist(), (X.tolist(),), np.asfortranarray(X), X[:, ::-1], np.broadcast_to(X[0], (2, 3)), 0.3, np.float64(0.3),
     np.array(0.3)],
    ids=["list", "list in a tuple", "Fortran", "reversed", "broadcast", "number", "NumPy number", "0-d"],
)  # fmt: skip
def test_lists_numbers_and_layouts(x):
    judged(x)


def test_subclasses_are_checked_as_plain_arrays_and_that_is_said():
    assert judged(np.ma.array(X)).notes == ()
    masked = judged(np.ma.array(X, mask=[[0, 1, 0], [0, 0, 0]]))
    # NumPy before 2.1 does not tell how the input of a ufunc is called.
    assert re.search("(x|input 0) was checked as a plain array, without its mask", str(masked))
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix(X)
    assert "np.matrix has other products" in judged(matrix).notes[0]


def test_arrays_that_cannot_be_checked_are_told_what_to_do():
    def backward(dy, x):
        return dy

    with pytest.raises(TypeError, match=r"x is an array of complex128: pass its real and imaginary parts"):
        check_gradients(lambda x: (x, x), backward, X + 1j)
    with pytest.raises(TypeError, match="x is an array of object"):
        check_gradients(lambda x: (x, x), backward, X.astype(object))
    with pytest.raises(TypeError, match="output 0 is complex"):
        check_gradients(lambda x: (x + 1j, x), backward, X)
    with pytest.raises(
        TypeError, match="inputs must be a tuple of arguments, a dict by name or one array, got NoneType"
    ):
        check_gradients(lambda x: (x, x), backward, None)

    class Foreign:
        dtype, shape = "float32", (2, 3)

    with pytest.raises(TypeError, match=r"input 0 is an array of .*works on NumPy arrays"):
        check_gradients(lambda *x: (x, x), backward, (Foreign(),))


def test_a_loss_may_be_a_python_number_and_outputs_a_list():
    assert check_gradients(lambda x: (float((x * x).sum()), x), lambda dy, x: 2 * x * dy, X).passed
    assert check_gradients(lambda x: ([np.sin(x), x * x], x), lambda dy, x: dy[0] * np.cos(x) + 2 * x * dy[1], X).passed


class TestMasks:
    """An additive mask of 0 and minus infinity is a floating-point array, most of whose gradient means nothing."""

    mask = np.where(np.tri(2, 3) > 0, 0.0, -np.inf)

    @staticmethod
    def forward(scores, mask):
        e = np.exp(scores + mask - (scores + mask).max(-1, keepdims=True))
        p = e / e.sum(-1, keepdims=True)
        return p, p

    @staticmethod
    def backward(dy, p):
        d = p * (dy - (dy * p).sum(-1, keepdims=True))
        return d, d

    def test_its_finite_elements_are_compared(self):
        mask = np.random.default_rng(1).normal(size=(2, 3)) + self.mask
        report = check_gradients(self.forward, self.backward, (X, mask))
        assert (report["mask"].checked, report["scores"].checked) == (3, 6)
        with pytest.raises(GradientMismatch):
            check_gradients(self.forward, lambda dy, p: (self.backward(dy, p)[0], dy), (X, mask))

    def test_it_may_be_left_out(self):
        assert check_gradients(self.forward, self.backward, (X, self.mask), wrt="scores").passed
        assert check_gradients(
            self.forward, lambda dy, p: self.backward(dy, p)[0], X, options={"mask": self.mask}
        ).passed

    def test_nan_and_infinity_everywhere_are_refused(self):
        with pytest.raises(VacuousCheck, match="mask holds 6 entries"):
            check_gradients(self.forward, self.backward, (X, np.full((2, 3), -np.inf)))
        with pytest.raises(VacuousCheck, match="mask holds 1 entry that is NaN"):
            check_gradients(self.forward, self.backward, (X, np.where(X[0, 0] == X, np.nan, 0.5 * X)))


def _pop(cache):
    return cache.pop()


@pytest.mark.parametrize(
    ("wrap", "take"),
    [(lambda y: [y], _pop), (lambda y: deque([y]), _pop), (lambda y: {"y": y}, lambda c: c.pop("y")),
     (lambda y: iter([y]), next)],
    ids=["list", "deque", "dict", "iterator"],
)  # fmt: skip
def test_a_cache_that_is_used_up_is_told(wrap, take):
    def forward(x):
        y = np.tanh(x)
        return y, wrap(y)

    def backward(dy, cache):
        y = take(cache)
        return dy * (1 - y * y)

    with pytest.raises(GradientMismatch, match=r"called a second time with the same cache .* consume its cache"):
        check_gradients(forward, backward, X)


def test_generators_of_inputs_are_read_once():
    def forward(a, b):
        return a * b, (a, b)

    drawn = (np.random.default_rng(seed).normal(size=(2, 3)) for seed in range(2))
    assert check_gradients(forward, lambda dy, c: (dy * c[1], dy * c[0]), drawn).passed


def test_a_whole_output_that_is_forgotten_is_named():
    def forward(x):
        return (np.sin(x), x**3, np.exp(x)), x

    def backward(dy, x):
        return dy[0] * np.cos(x) + dy[2] * np.exp(x)

    with pytest.raises(GradientMismatch) as caught:
        check_gradients(forward, backward, X)
    assert "counts everything but output 1" in caught.value.findings[0].text
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(forward, lambda dy, x: dy[2] * np.exp(x), X)
    assert "counts only output 2: what the other outputs add is missing" in caught.value.findings[0].text


@pytest.mark.parametrize(
    "setting",
    [{"eps": value} for value in (0, -1, float("nan"), float("inf"), 1e300, "x", True, None)]
    + [{"seed": value} for value in (-1, None, "a", 0.5, True)]
    + [{"full_limit": value} for value in (-1, "x")],
)
def test_a_setting_that_makes_no_check_is_told_in_a_sentence(setting):
    (name,) = setting
    x = np.random.default_rng(0).normal(size=(2, 3))
    with pytest.raises((TypeError, ValueError), match=f"^{name}[ ,]"):
        check_gradients(lambda x: (np.sin(x), x), lambda dy, x: dy * np.cos(x), x, **setting)


@pytest.mark.parametrize("mutants", [3, ["a"], "x"])
def test_mutants_are_a_dict(mutants):
    x = np.random.default_rng(0).normal(size=(2, 3))
    with pytest.raises(TypeError, match="mutants must be a dict"):
        check_gradients(lambda x: (np.sin(x), x), lambda dy, x: dy * np.cos(x), x, mutants=mutants)
