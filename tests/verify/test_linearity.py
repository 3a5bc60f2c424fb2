"""A backward is linear in the cotangent; one that clips, drops or bends it agrees with the differences all the same."""

import numpy as np
import pytest

from tinygrad_arith.verify import GradientCheck, check_module

X = np.random.default_rng(4).normal(size=(3, 4))
BENT = {
    "clips": lambda dy: np.clip(dy, -2, 2),
    "drops what is small": lambda dy: np.where(abs(dy) < 0.4, 0, dy),
    "clips far off": lambda dy: np.clip(dy, -1e9, 1e9),
    "drops what is tiny": lambda dy: np.where(abs(dy) < 1e-9, 0, dy),
    "drops beside the largest": lambda dy: np.where(abs(dy) < 0.1 * abs(dy).max(), 0, dy),
    "rounds": lambda dy: np.round(dy, 9),
}


@pytest.mark.parametrize("name", BENT)
def test_a_bent_cotangent_is_noticed(name):
    check = GradientCheck(lambda x: (np.tanh(x), x), X)
    report = check.run(lambda dy, x: BENT[name](dy) * (1 - np.tanh(x) ** 2))
    assert report.verdict == "wrong"
    if name != "rounds":
        assert all(entry.passed for entry in report.inputs)
        assert "not linear in dy" in report.problem


def test_the_sign_of_dy_is_asked_for():
    hot = np.array(
        [[0.3, 2.0, 5.0], [-7.0, 3.0, 0.0]]
    )  # clipped but for two elements, whose cotangents may be positive
    report = GradientCheck(lambda x: (np.clip(x, -1, 1), x), hot, seed=1).run(lambda dy, x: abs(dy) * (abs(x) < 1))
    assert report.verdict == "wrong"


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_right_backwards_are_linear_in_every_dtype(dtype, scale):
    x = (scale * X).astype(dtype)

    def backward(dy, cache):
        x, _ = cache
        return (
            dy * (1 - 1 / np.asarray(x.shape[-1], x.dtype)) - (dy.sum(-1, keepdims=True) - dy) / x.shape[-1]
        ).astype(x.dtype)

    def forward(x):
        mean = x.mean(-1, keepdims=True)
        return x - mean, (x, mean)

    assert GradientCheck(forward, x).run(backward).verdict == "passed"


WIDER = {"float16": ("float32", "float64"), "float32": ("float64",), "bfloat16": ("float32", "float64")}


@pytest.mark.parametrize(("dtype", "wider"), [(dtype, wider) for dtype in WIDER for wider in WIDER[dtype]])
@pytest.mark.parametrize("scale", [1e-2, 1.0, 4.0])
def test_outputs_of_a_wider_dtype_than_the_inputs(dtype, wider, scale):
    """A tiny multiple of dy is one in the outputs' dtype, and nothing at all in that of the gradient."""
    narrow = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)

    def forward(x):
        return np.sin(x.astype(np.promote_types(x.dtype, wider))), x

    def backward(dy, x):
        return (dy * np.cos(x.astype(wider))).astype(x.dtype)

    check = GradientCheck(forward, (scale * X).astype(narrow))
    assert check.run(backward).verdict == "passed"
    assert check.run(lambda dy, x: backward(np.clip(dy, -2, 2), x)).verdict == "wrong"
    assert check.run(lambda dy, x: backward(np.abs(dy), x)).verdict == "wrong"


def test_one_input_of_several_is_less_precise():
    x, w = X.astype(np.float16), np.arange(1.0, 5.0)

    def forward(x, w):
        return x.astype(np.float64) * w, (x, w)

    def backward(dy, cache):
        x, w = cache
        return (dy * w).astype(x.dtype), (dy * x).sum(axis=0)

    check = GradientCheck(forward, (x, w))
    assert check.run(backward).verdict == "passed"
    assert check.run(lambda dy, cache: backward(np.round(dy), cache)).verdict == "wrong"


def test_an_input_whose_gradient_cancels_is_no_complaint():
    """Rounding of the other gradients is all that is left of it."""

    def forward(x, w):
        return (x - x.mean(-1, keepdims=True)).sum(-1) + x @ w, (x, w)

    def backward(dy, cache):
        x, w = cache
        ones = np.broadcast_to(dy[:, None], x.shape)
        return ones - ones.mean(-1, keepdims=True) + dy[:, None] * w, x.T @ dy

    assert GradientCheck(forward, (X, np.arange(1.0, 5.0))).run(backward).verdict == "passed"


def test_a_loss_that_clips_its_cotangent():
    class Module:
        array, grad = X.copy(), None

        def named_parameters(self):
            return {"w": self}

    class Loss:
        def __init__(self, module):
            self.module, self.data = module, np.array((module.array**2).sum())

        def backward(self, dy):
            self.module.grad = 2 * np.clip(dy, -2, 2) * self.module.array

    with pytest.raises(AssertionError, match="not linear in dy"):
        check_module(Loss, Module())


def test_what_a_backward_loses_in_rounding_is_no_bend():
    """dy a - dy b of large and nearly equal a and b: another dy leaves other last digits of it."""
    x, a = X / 8, 1e9 + np.arange(X.size).reshape(X.shape)

    def backward(dy, x):
        return (dy * a) * np.cos(x) - (dy * np.cos(x)) * (a - 1e-5)

    known = GradientCheck(lambda x: (1e-5 * np.sin(x), x), x).run(backward)
    assert known.problem is None
    bent = GradientCheck(lambda x: (1e-5 * np.sin(x), x), x).run(lambda dy, x: 1e-5 * np.clip(dy, -2, 2) * np.cos(x))
    assert "not linear" in str(bent.problem)
