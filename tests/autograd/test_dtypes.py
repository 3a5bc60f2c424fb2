"""What dtype comes out: nothing plain widens floats, integers count as in NumPy, gradients have that of their own."""

import numpy as np
import pytest

from tinygrad_arith import ops
from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.backend import RandomKey
from tinygrad_arith.models import GPT, GPTConfig

OPERATORS = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
}
PLAIN = {
    "a Python number": 0.5,
    "an int": 2,
    "a bool": True,
    "np.float64": np.float64(0.5),
    "np.int64": np.int64(2),
    "an array without axes": np.array(0.5),
    "a list": [0.5, 1.5, 2.5],
    "a list of ints": [[1, 2, 3]],
    "a tensor without axes": Tensor(0.5),
    "an integer tensor without axes": Tensor(2),
}


def dtypes():
    try:
        import ml_dtypes
    except ImportError:
        return ["float16", "float32", "float64"]
    return ["float16", "float32", "float64", np.dtype(ml_dtypes.bfloat16)]


@pytest.mark.parametrize("dtype", dtypes(), ids=str)
@pytest.mark.parametrize("plain", PLAIN)
@pytest.mark.parametrize("name", OPERATORS)
def test_nothing_plain_widens_floating_tensors(name, plain, dtype):
    value, apply = PLAIN[plain], OPERATORS[name]
    x = Tensor(np.array([[1.0, 2.0, 3.0]]).astype(dtype), requires_grad=True)
    for y in (apply(x, value), apply(value, x), getattr(F, name)(x, value), getattr(F, name)(value, x)):
        assert y.dtype == np.dtype(dtype)
    apply(x, value).sum().backward()
    assert x.grad.dtype == np.dtype(dtype)


def test_numbers_of_numpy_as_options_do_not_widen():
    x = Tensor(np.ones((1, 2, 2, 4), np.float32), requires_grad=True)
    flat = Tensor(np.ones((2, 4), np.float32), requires_grad=True)
    scale, weight = np.float64(0.5), Tensor(np.ones(4, np.float32))
    for y in (
        F.attention(x, x, x, scale=scale),
        F.attention(x, x, x, scale=np.int64(1)),
        F.attention(x, x, x, scale=np.array(0.5)),
        F.attention_blockwise(x, x, x, scale=scale),
        F.packed_attention(x.reshape(1, 2, 8)[:, :, :6], 1, scale=scale, key_mask=np.ones((1, 2), bool)),
        F.dropout(flat, np.float64(0.5), RandomKey(0, "d")),
        F.layernorm(flat, weight, weight, np.float64(1e-5)),
        F.rmsnorm(flat, weight, eps=np.float64(1e-5)),
        F.rotary(x, np.arange(2), np.float64(100.0)),
        F.matmul(flat, [[1.0], [2.0], [3.0], [4.0]]),
        F.linear(flat, [[1.0], [2.0], [3.0], [4.0]]),
    ):
        assert y.dtype == np.float32
        y.sum().backward()
        assert x.grad is None or x.grad.dtype == np.float32


def test_the_reference_operations_do_not_widen_either():
    x = np.ones((1, 2, 2, 4), np.float32)
    key = RandomKey(0, "d")
    forwards = {
        "attention": lambda: ops.attention_forward(x, x, x, scale=np.float64(0.5)),
        "blockwise": lambda: ops.attention_blockwise_forward(x, x, x, scale=np.float64(0.5)),
        "packed": lambda: ops.packed_attention_forward(x[:, :, 0, :3], 1, scale=np.float64(0.5)),
        "dropout": lambda: ops.dropout_forward(x, np.float64(0.5), key),
        "power": lambda: ops.power_forward(x, np.float64(2.0)),
    }
    backwards = dict.fromkeys(forwards, None) | {
        "attention": ops.attention_backward,
        "blockwise": ops.attention_blockwise_backward,
        "packed": ops.packed_attention_backward,
        "dropout": ops.dropout_backward,
        "power": ops.power_backward,
    }
    for name, forward in forwards.items():
        out, cache = forward()
        gradients = backwards[name](np.ones_like(out), cache)
        for array in (out, *(gradients if isinstance(gradients, tuple) else (gradients,))):
            assert array.dtype == np.float32, name


def test_arrays_with_axes_count_as_in_numpy():
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    assert (x * np.ones(3)).dtype == np.float64
    assert (x * np.arange(3)).dtype == np.float64
    assert (x * np.array([True, False, True])).dtype == np.float32


def test_gradients_come_back_in_the_dtype_of_what_they_belong_to():
    seen = []
    x, scale = Tensor(np.ones(3, np.float32), requires_grad=True), Tensor(2.0, requires_grad=True)
    y = x * scale
    y.retain_grad()
    (y.tanh() * np.ones(3)).sum().backward(on_ready=lambda leaf: seen.append(leaf.grad.dtype))
    assert (y.dtype, y.grad.dtype, x.grad.dtype, scale.grad.dtype) == ("float32", "float32", "float32", "float64")
    assert len(seen) == 2


INTEGERS = ["int64", "int32", "int8", "uint8"]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("value", [0.5, -0.25, 2, np.nan, np.float64(1.5), np.float32(1.5), [0.5, 1.5, 2.5], 1j])
@pytest.mark.parametrize("name", OPERATORS)
def test_integers_and_plain_numbers_give_what_numpy_gives(name, value, dtype):
    a, apply = np.array([1, 2, 3]).astype(dtype), OPERATORS[name]
    for mine, numpys in (
        (apply(Tensor(a), value), apply(a, value)),
        (apply(value, Tensor(a)), apply(value, a)),
        (getattr(F, name)(Tensor(a), value), apply(a, value)),
    ):
        assert mine.dtype == numpys.dtype
        np.testing.assert_array_equal(mine.array, numpys)


@pytest.mark.parametrize("name", ["add", "multiply", "divide"])
@pytest.mark.parametrize("value", [0.5, 2, True])
def test_bools_and_plain_numbers_give_what_numpy_gives(name, value):
    a, apply = np.array([True, False, True]), OPERATORS[name]
    with np.errstate(divide="ignore", invalid="ignore"):
        for mine, numpys in ((apply(Tensor(a), value), apply(a, value)), (apply(value, Tensor(a)), apply(value, a))):
            assert mine.dtype == numpys.dtype
            np.testing.assert_array_equal(mine.array, numpys)


def test_bools_are_no_numbers_to_subtract():
    mask = Tensor(np.array([True, False]))
    for refused in (lambda: mask - 0.5, lambda: 1 - mask, lambda: mask - mask):
        with pytest.raises(TypeError, match="subtract"):
            refused()


def test_an_integer_that_does_not_fit_is_an_error_not_another_number():
    with pytest.raises(OverflowError):
        Tensor(np.array([1], np.uint8)) + 300


def test_a_dry_pass_knows_the_dtypes():
    from tinygrad_arith.ops import ArraySpec

    x, n = (Tensor(ArraySpec((2, 3), np.dtype(dtype))) for dtype in ("float32", "int32"))
    assert (x * np.float64(2)).dtype == (x * Tensor(2.0)).dtype == np.float32
    results = {"divide": n / 2, "mean": n.mean(), "sum": n.sum(axis=0), "softmax": F.softmax(n), "half": n * 0.5}
    assert {k: v.dtype for k, v in results.items() if k != "sum"} == dict.fromkeys(results.keys() - {"sum"}, np.float64)
    assert results["sum"].dtype == np.ones(1, np.int32).sum().dtype


def test_float16_counts_further_than_it_can():
    x = Tensor(np.ones(70_000, np.float16), requires_grad=True)
    x.mean().backward(np.float16(7000.0))
    np.testing.assert_array_equal(x.grad, np.full(70_000, np.float16(0.1)))


def test_float32_quotients_keep_their_gradient_at_both_ends_of_the_range():
    for a, b, dy in (
        (1e20, 1e20, 1.0),
        (1e-20, 1e-20, 1.0),
        (3e19, 2e20, 1e20),
        (1.0, 1e-20, 1e-20),
        (1.0, 1e25, 1e15),
    ):
        both = [Tensor(np.array([value], np.float32), requires_grad=True) for value in (a, b)]
        (both[0] / both[1]).backward(np.array([dy]))
        np.testing.assert_allclose(both[0].grad, dy / b, rtol=1e-6)
        np.testing.assert_allclose(both[1].grad, -dy * a / b / b, rtol=1e-6)


def test_a_model_takes_lists_of_ids():
    model = GPT(GPTConfig(vocabulary=7, context=5, d_model=12, heads=3, layers=1)).initialize(seed=1)
    ids = [[1, 2, 3], [4, 5, 6]]
    expected = model(np.array(ids)).array
    np.testing.assert_array_equal(model(ids).array, expected)
    np.testing.assert_array_equal(model(Tensor(ids), positions=[0, 1, 2]).array, expected)
    loss = F.cross_entropy(model(ids), [[1, -1, 3], [4, 5, 6]])
    assert loss.dtype == np.float32
    with pytest.raises(ops.ShapeError, match=r"gpt: ids must be \(B, T\)"):
        model([1, 2, 3])
    with pytest.raises(ops.ShapeError, match="ids must be integers"):
        model([[0.5, 1.0]])


@pytest.mark.parametrize("value", [1j, "a"])
def test_what_is_no_real_number_is_refused_beside_floating_tensors(value):
    with pytest.raises(TypeError, match="gradients are of real numbers"):
        Tensor(np.ones(2, np.float32)) * value
