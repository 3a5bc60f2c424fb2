"""Numbers at the ends of float32 on the CPU's fast paths: what the reference makes of them, they make too."""

import math

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.nn import Linear
from tinygrad_arith.ops.registry import reference_only
from tinygrad_arith.optim import AdamW
from tinygrad_arith.verify.tolerances import tolerance


@pytest.fixture
def rng():
    return np.random.default_rng(41)


def attend(qkv, **options):
    """Output and gradient of packed attention with two heads."""
    x = Tensor(qkv, requires_grad=True)
    y = F.packed_attention(x, 2, **options)
    y.backward(np.ones(y.shape, np.float32))
    return y.numpy(), x.grad


@pytest.mark.parametrize("positions", [1, 3, 28, 64, 129])
@pytest.mark.parametrize("size", [1e3, 3e4, 1e6, 1e9, 1e15])
def test_attention_of_large_scores_is_the_reference(passes, positions, size, rng):
    qkv = rng.normal(size=(2, positions, 48)).astype(np.float32)
    qkv[..., :32] *= np.float32(size)
    y, gradient = attend(qkv)
    assert np.isfinite(y).all()
    assert np.isfinite(gradient).all()
    assert np.abs(y).max() <= np.abs(qkv[..., 32:]).max() * (1 + 1e-6)  # an average of values
    first = y[:, 0] - qkv[:, 0, 32:]  # who sees only itself takes its own value
    np.testing.assert_allclose(first, 0.0, atol=1e-6)


@pytest.mark.parametrize("size", [1.0, 1e8, 1e10, 1e30])
def test_the_largest_score_is_0_after_the_shift(passes, size, rng):
    scores = (size * rng.normal(size=(3, 40, 40))).astype(np.float32)
    passes.causal_softmax(scores, 0.3)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores.sum(axis=-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("positions", [4, 70])
def test_what_stands_behind_a_query_does_not_reach_it(passes, bad, positions, rng):
    qkv = np.abs(rng.normal(size=(1, positions, 24)).astype(np.float32)) + 2
    qkv[0, -1, 8:16] = bad  # the last key
    with np.errstate(invalid="ignore", over="ignore"):
        y = F.packed_attention(Tensor(qkv), 2).numpy()
    np.testing.assert_array_equal(np.isnan(y).any(axis=-1)[0], [False] * (positions - 1) + [True])


@pytest.mark.parametrize("name", ["layernorm", "rmsnorm"])
@pytest.mark.parametrize("channels", [8, 3000])
@pytest.mark.parametrize("scale", [1e-18, 1e-19, 5e-20, 1e-20, 1e-21])
@pytest.mark.parametrize("eps", [0.0, 1e-40])
def test_norms_of_rows_whose_variance_is_below_the_normal_numbers(passes, name, channels, scale, eps, rng):
    x = (scale * rng.normal(size=(2, channels))).astype(np.float32)
    parameters = [np.ones(channels, np.float32), np.zeros(channels, np.float32)][: 2 if name == "layernorm" else 1]

    def run():
        rows = Tensor(x, requires_grad=True)
        y = getattr(F, name)(rows, *parameters, eps=eps)
        y.backward(np.full(y.shape, np.float32(scale)))
        return y.numpy(), rows.grad

    found = run()
    with reference_only():
        right = run()
    for mine, expected in zip(found, right, strict=True):
        assert np.isfinite(mine).all()
        rounding = tolerance("reference", "float32").largest  # of sums of numbers of size 1
        np.testing.assert_allclose(mine, expected, atol=0.01 * np.abs(expected).max() + rounding)  # few bits are left


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize(("scale", "gradient"), [(1e-4, 1e20), (1e-7, 1e25), (1e-3, 1e21), (1e10, 1e-20), (1.0, 2.0)])
def test_adamw_scales_a_gradient_before_it_squares_it(passes, reference, scale, gradient):
    model = Linear(2, 2, bias=False).initialize(seed=1)
    before = model.weight.numpy().copy()
    model.weight.grad = np.full((2, 2), gradient, np.float32)
    with reference_only(reference):
        AdamW(model.flat, weight_decay=0.0).step(0.01, scale)
    moved = before - model.weight.numpy()
    expected = 0.01 * scale * gradient / (scale * gradient + 1e-8)
    np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("activation", ["gelu", "gelu-exact"])
@pytest.mark.parametrize("size", [50.0, 1e13, 2e19, 1e20, 1e30, 3e38])
def test_the_slope_of_gelu_far_out_is_1_or_0(passes, reference, activation, size):
    one, zero = np.eye(1, dtype=np.float32), np.zeros(1, np.float32)
    for x, slope in ((size, 1.0), (-size, 0.0)):
        of_ffn, alone = (Tensor(np.array([[x]], np.float32), requires_grad=True) for _ in range(2))
        with reference_only(reference):
            F.ffn(of_ffn, one, zero, one, zero, activation=activation).sum().backward()
            (F.gelu if activation == "gelu" else F.gelu_exact)(alone).sum().backward()
        assert (of_ffn.grad.item(), alone.grad.item()) == (slope, slope)


@pytest.mark.parametrize("reference", [False, True])
def test_the_slope_of_gelu_at_infinity_is_1_or_0_and_at_nan_nan(passes, reference):
    with reference_only(reference), np.errstate(invalid="ignore"):
        for function in (F.gelu, F.gelu_exact):
            x = Tensor(np.array([np.inf, -np.inf, np.nan], np.float32), requires_grad=True)
            function(x).sum().backward()
            np.testing.assert_array_equal(x.grad, [1.0, 0.0, np.nan])


@pytest.mark.parametrize("ids", [">i8", "<i8", ">i4", "<u2", ">u2", "u1"])
def test_ids_of_any_byte_order_find_their_rows(passes, ids):
    table = Tensor(np.arange(12, dtype=np.float32).reshape(4, 3), requires_grad=True)
    where = np.array([[1, 3], [1, 0]]).astype(ids)
    F.embedding(where, table).sum().backward()
    np.testing.assert_array_equal(table.grad[:, 0], [1.0, 2.0, 0.0, 1.0])
    logits = Tensor(np.zeros((2, 2, 4), np.float32), requires_grad=True)
    F.cross_entropy(logits, where).backward()
    assert math.isclose(logits.grad[0, 0, 1], (0.25 - 1) / 4)
    x = Tensor(np.ones((2, 2, 2, 4), np.float32), requires_grad=True)
    turned = F.rotary(x, where)
    turned.sum().backward()
    np.testing.assert_allclose(turned.numpy()[1, 1], 1.0)
