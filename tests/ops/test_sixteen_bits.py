"""float16 and bfloat16 by the reference: computed in float32, so that squares and sums stay numbers."""

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.ops.registry import reference_only


def dtypes():
    try:
        import ml_dtypes
    except ImportError:
        return [np.dtype("float16")]
    return [np.dtype("float16"), np.dtype(ml_dtypes.bfloat16)]


def attend(x):
    heads = x.reshape(1, 2, 1, 4)
    return F.attention(heads, heads, heads)


W = np.linspace(0.5, 1.5, 4)
SQUARE = np.linspace(-1.0, 1.0, 16).reshape(4, 4)
PACKED = np.linspace(-0.02, 0.02, 32).reshape(4, 8)
CALLS = {
    "layernorm": lambda x, a: F.layernorm(x, a(W), a(0 * W)),
    "rmsnorm": lambda x, a: F.rmsnorm(x, a(W)),
    "gelu": lambda x, a: F.gelu(x),
    "gelu_exact": lambda x, a: F.gelu_exact(x),
    "silu": lambda x, a: F.silu(x),
    "ffn": lambda x, a: F.ffn(x, a(SQUARE), a(0 * W), a(SQUARE), a(0 * W)),
    "gated_ffn": lambda x, a: F.gated_ffn(x, a(PACKED), None, a(SQUARE), a(0 * W)),
    "ffn, gelu-exact": lambda x, a: F.ffn(x, a(SQUARE), a(0 * W), a(SQUARE), a(0 * W), activation="gelu-exact"),
    "softmax": lambda x, a: F.softmax(x),
    "log_softmax": lambda x, a: F.log_softmax(x),
    "cross_entropy": lambda x, a: F.cross_entropy(x, [1, 3]),
    "cross_entropy_sum": lambda x, a: F.cross_entropy_sum(x, [1, 3]),
    "attention": lambda x, a: attend(x),
    "attention_blockwise": lambda x, a: F.attention_blockwise(*[x.reshape(1, 2, 1, 4)] * 3),
    "packed_attention": lambda x, a: F.packed_attention(F.concatenate([x, x, x], axis=1).reshape(1, 2, 12), 1),
    "mean": lambda x, a: x.mean(axis=0),
    "linear": lambda x, a: F.linear(x, a(SQUARE), a(W)),
}


@pytest.mark.parametrize("dtype", dtypes(), ids=str)
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_numbers_whose_squares_are_too_large_give_what_float64_rounds_to(name, dtype, mixed, reference):
    values = np.array([[300.0, -300.0, 600.0, 100.0], [-50.0, 20.0, 10.0, -700.0]]).astype(dtype)
    narrow, wide = Tensor(values, requires_grad=True), Tensor(values.astype(np.float64), requires_grad=True)
    with reference_only(reference):
        y = CALLS[name](narrow, lambda a: a.astype(np.float32 if mixed else dtype))
        exact = CALLS[name](wide, lambda a: a.astype(dtype).astype(np.float64))
        y.sum().backward()
        exact.sum().backward()
    has_other_inputs = name in ("layernorm", "rmsnorm", "linear") or "ffn" in name
    assert y.dtype == (np.float32 if mixed and has_other_inputs else dtype)
    assert narrow.grad.dtype == dtype
    step = 2.0**-10 if dtype == np.float16 else 2.0**-7
    for mine, right in ((y.array, exact.array), (narrow.grad, wide.grad)):
        mine = np.asarray(mine).astype(np.float64)
        np.testing.assert_allclose(mine, right, rtol=0, atol=2 * step * max(np.abs(right).max(), 0.01))


@pytest.mark.parametrize("dtype", dtypes(), ids=str)
def test_a_long_sum_goes_on_growing(dtype):
    ones = Tensor(np.ones((5000, 2)).astype(dtype), requires_grad=True)
    bias = Tensor(np.zeros(2).astype(dtype), requires_grad=True)
    assert ones.sum(axis=0).numpy().astype(float).tolist() == [float(np.array(5000.0).astype(dtype))] * 2
    (ones + bias).sum().backward(np.array(1.0, dtype))
    assert bias.grad.astype(float).tolist() == [float(np.array(5000.0).astype(dtype))] * 2


@pytest.mark.parametrize("dtype", dtypes(), ids=str)
@pytest.mark.parametrize(("x", "slope"), [(300.0, 1.0), (-300.0, 0.0), (60_000.0, 1.0), (-60_000.0, 0.0)])
def test_the_slope_of_gelu_far_out(dtype, x, slope):
    for function in (F.gelu, F.gelu_exact):
        far = Tensor(np.array([x]).astype(dtype), requires_grad=True)
        function(far).sum().backward()
        assert far.grad.item() == slope
