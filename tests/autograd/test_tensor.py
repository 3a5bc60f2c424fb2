"""A tensor's operators: values like NumPy's, float32 kept, and attention written by a student with nothing else."""

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.verify import assert_close, tolerance


@pytest.fixture
def rng():
    return np.random.default_rng(3)


BINARY = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
}


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("order", ["tensor-tensor", "tensor-array", "array-tensor", "tensor-number", "number-tensor"])
def test_operators_match_numpy_in_every_mix_of_operands(name, order, rng):
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(3,)) + 4.0
    sides = {"tensor": Tensor, "array": lambda value: value, "number": lambda value: 2.5}
    left, right = (sides[kind](value) for kind, value in zip(order.split("-"), (a, b), strict=True))
    expected = BINARY[name](*(side.data if isinstance(side, Tensor) else side for side in (left, right)))
    result = BINARY[name](left, right)
    assert isinstance(result, Tensor)
    np.testing.assert_array_equal(result.data, expected)


@pytest.mark.parametrize(
    "expression",
    [
        lambda x: x + 1,
        lambda x: 2.0 * x,
        lambda x: 1.0 / x,
        lambda x: x**2,
        lambda x: -x,
        lambda x: x.exp(),
        lambda x: x.log(),
        lambda x: x.sqrt(),
        lambda x: x.tanh(),
        lambda x: x.sum(),
        lambda x: x.mean(axis=0),
        lambda x: x.max(axis=-1, keepdims=True),
        lambda x: x.reshape(3, 2),
        lambda x: x.reshape(-1),
        lambda x: x.transpose(),
        lambda x: x.T @ x,
        lambda x: x[:, 1:],
        lambda x: x[np.array([0, 0, 1])],
    ],
)
def test_float32_stays_float32_forwards_and_backwards(expression, rng):
    x = Tensor(rng.uniform(1, 2, size=(2, 3)).astype(np.float32), requires_grad=True)
    y = expression(x)
    assert y.dtype == np.float32
    y.backward(np.ones(y.shape) * 1.5)
    assert x.grad.dtype == np.float32
    assert x.grad.shape == x.shape


def test_numpy_on_the_left_leaves_the_operator_to_the_tensor(rng):
    x = Tensor(rng.normal(size=(3, 2)), requires_grad=True)
    y = rng.normal(size=(4, 3)) @ x
    assert isinstance(y, Tensor)
    assert y.requires_grad


def attention_by_hand(q, k, v, hidden):  # (B, NH, T, HS) tensors; hidden (T, T), very negative above the diagonal
    scores = q @ k.transpose(0, 1, 3, 2) * q.shape[-1] ** -0.5 + hidden
    weights = (scores - scores.max(axis=-1, keepdims=True).detach()).exp()
    return weights / weights.sum(axis=-1, keepdims=True) @ v


def test_attention_written_with_plain_tensor_arithmetic_agrees_with_the_operation(rng):
    shape = (2, 5, 3, 4)  # B, T, NH, HS
    arrays = [rng.normal(size=shape) for _ in range(3)]
    dy = rng.normal(size=shape)
    ours = [Tensor(a, requires_grad=True) for a in arrays]
    theirs = [Tensor(a, requires_grad=True) for a in arrays]
    hidden = np.triu(np.full((5, 5), -1e30), k=1)

    out = F.attention(*ours)
    by_hand = attention_by_hand(*(x.transpose(0, 2, 1, 3) for x in theirs), hidden).transpose(0, 2, 1, 3)
    out.backward(dy)
    by_hand.backward(dy)

    same = tolerance("identity", "float64")
    assert_close(by_hand.data, out.data, same, "out")
    for name, mine, other in zip("qkv", ours, theirs, strict=True):
        assert_close(other.grad, mine.grad, same, f"d{name}")


def test_a_constant_cotangent_of_one_for_a_scalar_is_the_default(rng):
    x = Tensor(rng.normal(size=3), requires_grad=True)
    (x * x).sum().backward()
    np.testing.assert_allclose(x.grad, 2 * x.data)


def test_repr_shows_values_dtype_and_origin(rng):
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    assert repr(x) == "Tensor([1. 2.], dtype=float64, requires_grad=True)"
    assert "from=multiply" in repr(x * x)


def test_unbroadcasting_sums_over_added_and_stretched_axes(rng):
    a, b = Tensor(rng.normal(size=(4, 1, 3)), requires_grad=True), Tensor(rng.normal(size=(2, 1)), requires_grad=True)
    dy = rng.normal(size=(4, 2, 3))
    (a + b).backward(dy)
    np.testing.assert_allclose(a.grad, dy.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(b.grad, dy.sum(axis=(0, 2))[:, None])
