"""Checks that prove nothing are refused, each with its reason and its exception."""

import numpy as np
import pytest

from tinygrad_arith.verify import ALLOWANCES, GradientMismatch, VacuousCheck, check_gradients

RNG = np.random.default_rng(5)
X = RNG.normal(size=(2, 5, 3))


def scale_forward(x, weight):
    return x * weight, (x, weight)


def scale_backward(dy, cache):
    x, weight = cache
    return dy * weight, (dy * x).sum(axis=tuple(range(x.ndim - 1)))


def refused(said, inputs, allowance=None, forward=scale_forward, backward=scale_backward, **settings):
    """The check is refused, and passes once the caller names the exception."""
    with pytest.raises(VacuousCheck, match=said) as caught:
        check_gradients(forward, backward, inputs, **settings)
    if allowance:
        assert f'allow=("{allowance}",)' in str(caught.value)
        assert check_gradients(forward, backward, inputs, allow=(allowance,), **settings).passed


def test_constant_inputs():
    refused("every entry of weight is 1", (X, np.ones(3)), "constant_input")
    refused("every entry of weight is 0", (X, np.zeros(3)))
    refused("every entry of x is 2", (np.full((2, 3), 2.0), RNG.normal(size=3)), "constant_input")


def test_equal_axes_and_single_elements():
    refused("two axes of the same size", (RNG.normal(size=(3, 5, 3)), RNG.normal(size=3)), "equal_axes")
    refused(r"x \(1, 1\) has one element", (RNG.normal(size=(1, 1)), RNG.normal(size=1)), "single_element")


def test_cotangents():
    refused("every entry of the cotangent is 1", (X, RNG.normal(size=3)), "equal_cotangent", cotangent=np.ones_like(X))
    with pytest.raises(ValueError, match=r"cotangent has shapes \[\(2, 5\)\], the outputs \[\(2, 5, 3\)\]"):
        check_gradients(scale_forward, scale_backward, (X, RNG.normal(size=3)), cotangent=X[..., 0])

    def total(x):
        return (x * x).sum(), x

    refused("the cotangent is 1", (X,), "equal_cotangent", total, lambda dy, x: 2 * x * dy, cotangent=np.array(1.0))
    with pytest.raises(GradientMismatch):
        check_gradients(total, lambda dy, x: 2 * x, (X,))
    assert check_gradients(scale_forward, scale_backward, (X, RNG.normal(size=3)), cotangent=RNG.normal(size=X.shape))


def test_zero_gradients():
    def centred(x):
        return (x - x.mean(axis=-1, keepdims=True)).sum(axis=-1), x

    said = r'zero everywhere.*zero=\("x",\)'
    for wrong in (np.zeros_like, np.ones_like):
        with pytest.raises(VacuousCheck, match=said):
            check_gradients(centred, lambda dy, x, wrong=wrong: wrong(x), (X,))
    assert check_gradients(centred, lambda dy, x: np.zeros_like(x), (X,), zero=("x",)).passed
    with pytest.raises(GradientMismatch):
        check_gradients(centred, lambda dy, x: np.ones_like(x), (X,), zero="x")
    with pytest.raises(ValueError, match="zero names y; the differentiable inputs are x"):
        check_gradients(centred, lambda dy, x: x, (X,), zero=("y",))


def test_a_name_in_zero_does_not_excuse_a_gradient_that_is_not_zero():
    weight = RNG.normal(size=3)
    with pytest.raises(GradientMismatch):
        check_gradients(
            scale_forward, lambda dy, c: (np.zeros_like(X), scale_backward(dy, c)[1]), (X, weight), zero=("x",)
        )


def test_empty_not_finite_and_nothing_to_check():
    refused("x .* has no elements", (X[:0], RNG.normal(size=3)))
    assert check_gradients(
        scale_forward, scale_backward, (X[:0], RNG.normal(size=3)), allow=("empty",), zero=("weight",)
    ).passed
    refused(
        r"x holds 3 entries that are NaN or infinite, the first at \(0, 1, 1\)",
        (np.where(X > 1, np.inf, X), RNG.normal(size=3)),
    )
    refused("no gradient to check", (np.arange(3),), forward=lambda i: (i / 2.0, i), backward=lambda dy, i: ())


def test_mostly_kinks():
    x = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])
    relu = (lambda x: (np.maximum(x, 0), x)), (lambda dy, x: dy * (x > 0))
    refused("4 of 6 elements of x lie at kinks", (x,), "kinks", *relu)


def test_unknown_allowances_are_named():
    with pytest.raises(ValueError, match="equal_axis"):
        check_gradients(scale_forward, scale_backward, (X, RNG.normal(size=3)), allow=("equal_axis",))
    assert check_gradients(scale_forward, scale_backward, (X, RNG.normal(size=3)), allow=tuple(ALLOWANCES)).passed


def test_a_forward_in_float32_is_refused():
    said = "returns float32 although it is given float64: differences are lost in its rounding"

    def exponential(x):
        return np.exp(x.astype(np.float32)), x

    for dtype in (np.float64, np.float32):
        with pytest.raises(VacuousCheck, match=f"exponential {said}"):
            check_gradients(exponential, lambda dy, x: (dy * np.exp(x)).astype(x.dtype), (X.astype(dtype),))

    def two(x):
        return (np.exp(x), x.astype(np.float32)), x

    with pytest.raises(VacuousCheck, match="two returns float32 as output 1 although"):
        check_gradients(two, lambda dy, x: dy[0] * np.exp(x) + dy[1], (X,))


def test_a_forward_that_computes_in_float32_inside_is_refused():
    weight = RNG.normal(size=3)

    def inside(x, weight):
        return np.exp(x.astype(np.float32)) * weight, (x, weight)

    def backward(dy, cache):
        x, weight = cache
        return dy * np.exp(x) * weight, (dy * np.exp(x.astype(np.float32))).sum(axis=(0, 1))

    with pytest.raises(
        VacuousCheck, match=r"answers in steps: 30 of 30 outputs that a change of x by 0.0001 of it moves .* 1e-11"
    ):
        check_gradients(inside, backward, (X, weight))


def test_a_module_that_computes_in_float32_inside_is_refused():
    """All differences of one element are zero, which is no gradient of zero."""

    def total(x):
        return np.sum(x.astype(np.float32) ** 2, dtype=np.float32).astype(np.float64), x

    with pytest.raises(VacuousCheck, match="answers in steps: 1 of 1 outputs"):
        check_gradients(total, lambda dy, x: 2 * x * dy, (RNG.normal(size=(30, 40)),))


def test_a_wrong_backward_of_a_smooth_forward_is_not_refused():
    for scale in (1e-3, 1.0, 1e3):
        with pytest.raises(GradientMismatch):
            check_gradients(
                lambda x, s=scale: (s * np.sin(x / s), x), lambda dy, x: dy, (scale * RNG.normal(size=(3, 5)),)
            )


def test_wrt_that_chooses_nothing_or_no_input():
    weight = RNG.normal(size=3)
    with pytest.raises(ValueError, match=r"wrt names position 7; the differentiable inputs are 0 \(x\), 1 \(weight\)"):
        check_gradients(scale_forward, scale_backward, (X, weight), wrt=(7,))
    with pytest.raises(VacuousCheck, match="no gradient to check: wrt is empty"):
        check_gradients(scale_forward, scale_backward, (X, weight), wrt=())


def test_a_refusal_has_its_setting_apart():
    with pytest.raises(VacuousCheck) as caught:
        check_gradients(scale_forward, scale_backward, (RNG.normal(size=(3, 3)), RNG.normal(size=3)))
    assert (caught.value.setting, caught.value.value) == ("allow", "equal_axes")
    assert str(caught.value) == f'{caught.value.reason}; if this is meant, say so: allow=("equal_axes",)'
