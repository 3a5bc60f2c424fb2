"""What float32 could lose: long sums, large offsets, the ends of its range. Against float64, in ulp.

`benchmarks/float32_errors.py` measures all operations beside PyTorch; here is what was wrong once.
"""

import functools

import numpy as np
import pytest

from tinygrad_arith.cpu import layernorm, passes_numpy, rmsnorm
from tinygrad_arith.ops import (
    OPERATIONS,
    gelu_backward,
    gelu_forward,
    layernorm_backward,
    layernorm_forward,
    rmsnorm_backward,
    rmsnorm_forward,
)
from tinygrad_arith.ops.registry import choose, reference_backward, reference_only
from tinygrad_arith.ops.sums import LONG, product, sum_over


@pytest.fixture
def rng():
    return np.random.default_rng(31)


def draw(rng, *shape, scale=1.0, offset=0.0):
    return (scale * rng.normal(size=shape) + offset).astype(np.float32)


def ulps(found, exact):
    """The largest error, in units in the last place of the largest entry."""
    exact = np.asarray(exact, np.float64)
    assert np.isfinite(found).all()
    return np.abs(found - exact).max() / np.spacing(np.float32(np.abs(exact).max()))


ROWS = [1, 3, 4, 5, 63, 64, 511, 512, 513, 1000, 4096, 6145, 20_011]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_column_sums_keep_their_digits(passes, rows, offset, rng):
    dy, out = draw(rng, rows, 70, offset=offset), draw(rng, 70)
    exact, before = dy.sum(axis=0, dtype=np.float64), out.copy()
    passes.column_sum(dy, out, True)
    assert ulps(out, before + exact) < 4
    passes.column_sum(dy, out, False)
    assert ulps(out, exact) < 4


@pytest.mark.parametrize("rows", [*ROWS, 0])
@pytest.mark.parametrize("keepdims", [False, True])
def test_the_reference_sums_do_too(rows, keepdims, rng):
    x = draw(rng, rows, 3, 2, offset=1.0)  # no sum is near zero
    for axes in ((0,), (0, 1), (0, -1), (1,), (0, 1, 2), ()):
        exact = x.sum(axis=axes, dtype=np.float64, keepdims=keepdims)
        found = sum_over(x, axes, keepdims)
        assert found.shape == exact.shape
        assert found.dtype == np.float32
        assert exact.size == 0 or not exact.any() or ulps(found, exact) < 2.5


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_however_the_array_lies(order, rng):
    x = draw(rng, 700, 30, 20, offset=1.0).transpose(order)
    for axes in ((0,), (1,), (2,), (0, 2), (1, 2), (0, 1, 2)):
        exact = x.sum(axis=axes, dtype=np.float64)
        assert ulps(sum_over(x, axes), exact) < 2.5
        assert sum_over(x, axes, True).shape == x.sum(axis=axes, keepdims=True).shape


def test_a_sum_over_no_axis_is_an_array_of_its_own(rng):
    x = draw(rng, 40, 3)
    total = sum_over(x, ())
    np.testing.assert_array_equal(total, x)
    assert not np.shares_memory(total, x)


@pytest.mark.parametrize("inner", [1, LONG, LONG + 1, 2 * LONG + 1, 5000])
def test_products_over_many_terms(inner, rng):
    a, b = draw(rng, 2, 5, inner, offset=1.0), draw(rng, 3, 1, inner, 4, offset=1.0)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    found = product(a, b)
    assert found.shape == exact.shape == (3, 2, 5, 4)
    assert found.dtype == np.float32
    assert ulps(found, exact) < 4


def in_float32(name, arrays, *given, seed=3, **options):
    """Output and gradients of an operation as it is chosen for float32."""
    operation = OPERATIONS[name]
    names = operation.forward.__code__.co_varnames
    forward, backward = choose(operation, dict(zip(names, (*arrays, *given), strict=False)) | options)
    y, cache = forward(*arrays, *given, **options)
    dy = draw(np.random.default_rng(seed), *np.shape(y), offset=0.5)
    return y, *(backward or reference_backward(operation))(dy[()], cache, needs=(True,) * len(arrays))


def both(name, arrays, *given, seed=3, **options):
    """Output and gradients of an operation: as it is chosen for float32, and the reference's in float64."""
    operation, found = OPERATIONS[name], in_float32(name, arrays, *given, seed=seed, **options)
    dy = draw(np.random.default_rng(seed), *np.shape(found[0]), offset=0.5)
    with reference_only():
        exact, cache = operation.forward(*(array.astype(np.float64) for array in arrays), *given, **options)
        right = reference_backward(operation)(dy.astype(np.float64), cache, needs=(True,) * len(arrays))
    return found, (exact, *right)


def all_within(limit, found, exact):
    """No output and no gradient is off by more, and each has the shape and the kind of number it should have."""
    for mine, right in zip(found, exact, strict=True):
        assert (mine.dtype, np.shape(mine)) == (np.float32, np.shape(right))
        assert ulps(mine, right) < limit


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
@pytest.mark.parametrize(("shape", "of_one"), [((1 << 17, 3), (3,)), ((9, 4001, 2), (4001, 1)), ((5, 4001), (5, 1))])
def test_gradients_of_what_was_broadcast(name, shape, of_one, rng):
    all_within(4, *both(name, (draw(rng, *shape), draw(rng, *of_one, offset=8.0))))


@pytest.mark.parametrize("name", ["sum", "mean"])
@pytest.mark.parametrize("axis", [0, 1, 2, (0, 1), (0, 2), [1, 2], None])
def test_sums_and_means_over_any_axes(name, axis, rng):
    all_within(4, *both(name, (draw(rng, 300, 40, 70, offset=1.0),), axis))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_down_a_long_column(name, rng):
    all_within(4, *both(name, (draw(rng, 1 << 17, 2),), 0))


@pytest.mark.parametrize("name", ["linear", "ffn"])
@pytest.mark.parametrize("activation", ["gelu", "gelu-exact"])
def test_bias_gradients_of_many_rows(passes, name, activation, rng):
    x, w1, b1 = draw(rng, 20_000, 3), draw(rng, 3, 4), draw(rng, 4)
    arrays = (x, w1, b1) if name == "linear" else (x, w1, b1, draw(rng, 4, 3), draw(rng, 3))
    for reference in (False, True):
        with reference_only(reference):
            found, exact = both(name, arrays, **({} if name == "linear" else {"activation": activation}))
        for index in range(3, len(found), 2):  # the biases'
            assert ulps(found[index], exact[index]) < 4


@functools.cache
def exact_attention(positions):
    """Inputs q, k, v of attention over so many positions, and its output and gradients in float64."""
    rng = np.random.default_rng(31)
    arrays = tuple(draw(rng, 1, positions, 2, 16) for _ in range(3))
    return arrays, both("attention", arrays)[1]


@pytest.mark.parametrize("positions", [200, 600, 2048])
@pytest.mark.parametrize("name", ["attention", "attention_blockwise"])
def test_attention_over_many_positions(name, positions):
    arrays, exact = exact_attention(positions)
    all_within(6, in_float32(name, arrays), exact)


@pytest.mark.parametrize("positions", [200, 600, 2048])
def test_packed_attention_over_many_positions(passes, positions):
    arrays, (y, *gradients) = exact_attention(positions)
    packed, gradient = (np.stack(three, axis=2).reshape(1, positions, -1) for three in (arrays, gradients))
    all_within(6, in_float32("packed_attention", (packed,), 2), (y.reshape(1, positions, -1), gradient))


def test_keys_that_many_heads_share(rng):
    q, k, v = draw(rng, 1, 20, 60, 4), draw(rng, 1, 20, 1, 4), draw(rng, 1, 20, 1, 4)
    (_, _, *found), (_, _, *exact) = both("attention", (q, k, v))
    all_within(3, found, exact)  # dk, dv


@pytest.mark.parametrize("name", ["exp", "log", "tanh"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 20.0])
def test_functions_to_their_last_digits(name, scale, rng):
    x = draw(rng, 50, 100, scale=scale)
    found, exact = both(name, (np.abs(x) + np.float32(1e-6) if name == "log" else x,))
    for mine, right in zip(found, exact, strict=True):
        assert ulps(mine, right) < 2
    if name != "tanh":
        error = np.abs(found[0] - exact[0]) / np.spacing(np.abs(exact[0]).astype(np.float32))
        assert error.max() < 0.51  # of each element


def norms(name, x, dy, weight, bias):
    """Output and gradients of a norm: of the fast pair in float32, and of the reference in float64."""
    wide = [array.astype(np.float64) for array in (x, weight, bias)]
    if name == "layernorm":
        y, cache = layernorm.layernorm_forward(x, weight, bias)
        gradients = layernorm.layernorm_backward(dy, cache, needs=(True,) * 3)
        exact, exact_cache = layernorm_forward(*wide)
        return (y, *gradients), (exact, *layernorm_backward(dy.astype(np.float64), exact_cache))
    y, cache = rmsnorm.rmsnorm_forward(x, weight)
    gradients = rmsnorm.rmsnorm_backward(dy, cache, needs=(True,) * 2)
    exact, exact_cache = rmsnorm_forward(*wide[:2])
    return (y, *gradients), (exact, *rmsnorm_backward(dy.astype(np.float64), exact_cache))


SHAPES = [(5, 2047), (5, 2048), (5, 2049), (3, 5000), (2, 1 << 18), (1 << 14, 48)]


@pytest.mark.parametrize("name", ["layernorm", "rmsnorm"])
@pytest.mark.parametrize("shape", SHAPES)
def test_norms_of_long_rows_and_of_many_keep_their_digits(passes, name, shape, rng):
    found, exact = norms(name, draw(rng, *shape), draw(rng, *shape), draw(rng, shape[1]), draw(rng, shape[1]))
    for mine, right in zip(found, exact, strict=True):
        assert ulps(mine, right) < 4


@pytest.mark.parametrize("name", ["layernorm", "rmsnorm"])
@pytest.mark.parametrize("channels", [40, 3000])
@pytest.mark.parametrize("scale", [1e-30, 1e-19, 1e10, 1e17])
def test_norms_at_other_scales(passes, name, channels, scale, rng):
    dy = draw(rng, 6, channels, scale=min(scale, 1.0 / scale))
    found, exact = norms(name, draw(rng, 6, channels, scale=scale), dy, draw(rng, channels), draw(rng, channels))
    for mine, right in zip(found, exact, strict=True):
        if np.abs(right).max() > 1e-30:
            assert ulps(mine, right) < 8


@pytest.mark.parametrize("name", ["layernorm", "rmsnorm"])
@pytest.mark.parametrize("channels", [40, 3000])
@pytest.mark.parametrize("scale", [1e19, 1e25, 1e35])
@pytest.mark.parametrize("dy_scale", [1.0, 1e15])
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_row_whose_squares_are_beyond_float32_is_a_row_of_zeros(passes, name, channels, scale, dy_scale, rng):
    """As the reference's and PyTorch's: the root of infinity is infinite, and its reciprocal is 0."""
    x, dy = draw(rng, 6, channels, scale=scale), draw(rng, 6, channels, scale=dy_scale)
    x[:, 0] = 4 * scale  # its square alone is too large
    x[0] = draw(rng, channels)
    weight, bias = draw(rng, channels), draw(rng, channels)
    (y, dx, *parameters), (right, right_dx, *_) = norms(name, x, dy, weight, bias)
    expected = np.broadcast_to(bias if name == "layernorm" else np.float32(0.0), (5, channels))
    np.testing.assert_array_equal(y[1:], expected)
    assert not dx[1:].any()
    assert ulps(y[0], right[0]) < 4
    assert ulps(dx[0], right_dx[0]) < 4
    assert all(np.isfinite(gradient).all() for gradient in parameters)


@pytest.mark.parametrize("name", ["layernorm", "rmsnorm"])
@pytest.mark.parametrize("channels", [40, 3000])
def test_a_nan_spoils_its_row_and_no_other(passes, name, channels, rng):
    x = draw(rng, 3, channels)
    x[1, 7] = np.nan
    weight, bias = draw(rng, channels), draw(rng, channels)
    (y, dx, *_), _ = norms(name, x, draw(rng, 3, channels), weight, bias)
    for rows in (y, dx):
        np.testing.assert_array_equal(np.isnan(rows).all(axis=1), [False, True, False])
        np.testing.assert_array_equal(np.isnan(rows).any(axis=1), [False, True, False])


def test_gelu_and_its_slope_keep_their_digits(passes):
    h = np.linspace(-12, 12, 100_001, dtype=np.float32)[None]
    y, cache = gelu_forward(h.astype(np.float64))
    right = gelu_backward(np.ones(h.shape), cache)
    slope = np.empty_like(h)
    passes.bias_gelu(h, np.zeros(h.shape[1], np.float32), slope)
    assert np.abs(slope - right).max() < 1.5e-6
    assert np.abs(h - y).max() < 1.2e-6  # a unit in the last place of 12
    if passes is not passes_numpy:  # where nothing is subtracted, small numbers are right to their last digits too
        assert np.abs(slope - right).max() < 3e-7
        tail = (y > -0.1) & (y < -1e-6)  # where the float64 above has digits left
        assert np.abs(h / np.where(tail, y, 1.0) - 1.0)[tail].max() < 2e-5


@pytest.mark.parametrize("size", [20.0, 1e4, 1e13, 1e19, 1e25, 3.4e38])
def test_gelu_far_out_is_the_number_or_zero(passes, size):
    if passes is passes_numpy and size > 1e19:
        size = 1e19  # beyond it the square is no number, in PyTorch's and in the reference's formula as well
    h, slope = np.array([[size, -size]], np.float32), np.empty((1, 2), np.float32)
    with np.errstate(over="ignore"):
        passes.bias_gelu(h, np.zeros(2, np.float32), slope)
    np.testing.assert_array_equal(h, np.array([[size, 0.0]], np.float32))
    np.testing.assert_array_equal(slope, [[1.0, 0.0]])
