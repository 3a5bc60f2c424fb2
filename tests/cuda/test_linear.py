"""The linear layer and the feed-forward network on the GPU, against the reference in float64 on the same numbers."""

import cupy
import ml_dtypes
import numpy as np
import pytest

from tinygrad_arith.cuda import gated_ffn
from tinygrad_arith.cuda import linear as fast
from tinygrad_arith.cuda.gemm import gemm_bias
from tinygrad_arith.cuda.side_stream import using_side_stream
from tinygrad_arith.ops import OPERATIONS
from tinygrad_arith.ops.registry import Destination, choose, reference_only

F32, BF16 = np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16)
ROUNDING = {F32: 1e-5, BF16: 3e-2}  # of the largest entry; bfloat16 rounds the hidden layer, its slope and the result


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def numbers(rng, *shape, dtype=F32):
    return cupy.asarray(rng.normal(size=shape).astype(dtype))


def inputs_of(name, rng, rows, dtype, activation=None):
    x, (c, f, out) = numbers(rng, 3, rows, 24, dtype=dtype), (24, 40, 17)
    if name == "linear":
        return x, numbers(rng, c, out, dtype=dtype), numbers(rng, out, dtype=dtype)
    packed = 2 * f if name == "gated_ffn" else f
    w1, b1, w2, b2 = (
        0.3 * weight for weight in (numbers(rng, c, packed), numbers(rng, packed), numbers(rng, f, c), numbers(rng, c))
    )
    if activation == "relu":  # no hidden unit comes so near to the kink that rounding decides its slope
        b1 += 10.0 * cupy.sign(b1)
    return (x, *(weight.astype(dtype) for weight in (w1, b1, w2, b2)))


def reference(name, inputs, dy, **options):
    """Output and gradients in float64."""
    operation = OPERATIONS[name]
    out, cache = operation.forward(*(x.astype(np.float64) for x in inputs), **options)
    return out, operation.backward(dy.astype(np.float64), cache)


def module_of(name):
    return gated_ffn if name == "gated_ffn" else fast


def check(found, wanted, dtype):
    assert found.shape == wanted.shape
    error = float(cupy.abs(found.astype(np.float64) - wanted).max())
    assert error <= ROUNDING[dtype] * float(cupy.abs(wanted).max())


CASES = [("linear", {}), *(("ffn", {"activation": name}) for name in ("relu", "gelu", "gelu-exact")), ("gated_ffn", {})]


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
@pytest.mark.parametrize("rows", [1, 31, 700])
def test_against_the_reference(name, options, dtype, rows, rng):
    inputs = inputs_of(name, rng, rows, dtype, **options)
    out, cache = getattr(module_of(name), f"{name}_forward")(*inputs, **options)
    dy = numbers(rng, *out.shape, dtype=dtype)
    wanted, gradients = reference(name, inputs, dy, **options)
    check(out, wanted, dtype)
    found = getattr(module_of(name), f"{name}_backward")(dy, cache, needs=(True,) * len(inputs))
    assert [gradient.dtype for gradient in found] == [dtype] * len(inputs)
    for mine, right in zip(found, gradients, strict=True):
        check(mine, right, dtype)


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("apart", [False, True])
def test_gradients_go_to_float32_destinations(name, options, dtype, add, apart, rng):
    inputs = inputs_of(name, rng, 50, dtype, **options)
    out, cache = getattr(module_of(name), f"{name}_forward")(*inputs, **options)
    dy = numbers(rng, *out.shape, dtype=dtype)
    _, gradients = reference(name, inputs, dy, **options)
    held = [numbers(rng, *x.shape) for x in inputs]
    into = [None, *(Destination(array.copy(), add) for array in held[1:])]
    backward = getattr(module_of(name), f"{name}_backward")
    if apart:
        with using_side_stream(cupy.cuda.Stream(non_blocking=True)):
            found = backward(dy, cache, needs=(True,) * len(inputs), into=into)
    else:
        found = backward(dy, cache, needs=(True,) * len(inputs), into=into)
    for mine, right, destination, before in zip(found, gradients, into, held, strict=True):
        if destination is not None:
            assert mine is destination.array
            right = right + before if add else right
        check(mine, right, dtype)


@pytest.mark.parametrize("width", [8, 41])  # below and above that of x
@pytest.mark.parametrize("name", ["ffn", "gated_ffn"])
@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
def test_a_feed_forward_network_of_another_width(name, dtype, width, rng):
    x, w1, b1, *_ = inputs_of(name, rng, 31, dtype)
    inputs = x, w1, b1, 0.3 * numbers(rng, 40, width), 0.3 * numbers(rng, width)
    inputs = tuple(array.astype(dtype) for array in inputs)
    out, cache = getattr(module_of(name), f"{name}_forward")(*inputs)
    dy = numbers(rng, *out.shape, dtype=dtype)
    wanted, gradients = reference(name, inputs, dy)
    check(out, wanted, dtype)
    for mine, right in zip(
        getattr(module_of(name), f"{name}_backward")(dy, cache, needs=(True,) * 5), gradients, strict=True
    ):
        check(mine, right, dtype)


def test_silu_without_a_gate_is_the_references(rng):
    inputs = dict(zip(("x", "w1", "b1", "w2", "b2"), inputs_of("ffn", rng, 5, F32), strict=True))
    with reference_only(False):
        assert choose(OPERATIONS["ffn"], inputs | {"activation": "silu"}) == (OPERATIONS["ffn"].forward, None)


def test_without_a_bias_and_with_a_transposed_weight(rng):
    x, table = numbers(rng, 4, 9, 24), numbers(rng, 17, 24)
    out, cache = fast.linear_forward(x, table.T)
    dy = numbers(rng, *out.shape)
    wanted, (dx, dweight) = reference("linear", (x, table.T), dy)
    check(out, wanted, F32)
    found = fast.linear_backward(dy, cache, needs=(True, True))
    check(found[0], dx, F32)
    check(found[1], dweight, F32)


def test_no_gradient_of_x_where_none_is_wanted(rng):
    x, weight = numbers(rng, 5, 24), numbers(rng, 24, 8)
    out, cache = fast.linear_forward(x, weight)
    assert fast.linear_backward(out, cache, needs=(False, True))[0] is None


def odd_biases(bias):
    """The same numbers in other places: every second one, reversed, a column, one byte range off, all the same."""
    wide, spread, late = (
        cupy.asarray(np.full(shape, 1e4).astype(bias.dtype)) for shape in ((bias.size, 4), 2 * bias.size, bias.size + 1)
    )
    wide[:, 0] = bias
    spread[::2] = bias
    late[1:] = bias
    return {
        "every second": spread[::2],
        "reversed": bias[::-1].copy()[::-1],
        "a column": wide[:, 0],
        "not aligned": late[1:],
        "broadcast": cupy.broadcast_to(bias[:1].copy(), bias.shape),
    }


@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
@pytest.mark.parametrize("kind", ["every second", "reversed", "a column", "not aligned", "broadcast"])
@pytest.mark.parametrize("size", [64, 17])
def test_a_bias_may_lie_anywhere(size, kind, dtype, rng):
    x, weight = numbers(rng, 20, 32, dtype=dtype), numbers(rng, 32, size, dtype=dtype)
    bias = odd_biases(numbers(rng, size, dtype=dtype))[kind]
    out, _ = fast.linear_forward(x, weight, bias)
    wanted = x.get().astype(np.float64) @ weight.get().astype(np.float64) + bias.get().astype(np.float64)
    check(out, cupy.asarray(wanted), dtype)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("kind", ["every second", "reversed", "a column", "not aligned", "broadcast"])
def test_both_biases_of_a_network_may_lie_anywhere(kind, activation, rng):
    x, w1, b1, w2, b2 = inputs_of("ffn", rng, 20, F32, activation)
    b1, b2 = odd_biases(b1)[kind], odd_biases(b2)[kind]
    out, _ = fast.ffn_forward(x, w1, b1, w2, b2, activation)
    plain = fast.ffn_forward(x, w1, b1.copy(), w2, b2.copy(), activation)[0]
    check(out, plain.astype(np.float64), F32)


def test_a_strided_bias_is_none_for_the_library(rng):
    x, weight, bias = numbers(rng, 20, 32), numbers(rng, 32, 64), numbers(rng, 128)
    out = cupy.full((20, 64), 7.0, F32)
    assert not gemm_bias(x, weight, out, bias[::2])
    assert (out == 7.0).all()


@pytest.mark.parametrize("name", ["ffn", "gated_ffn"])
@pytest.mark.parametrize("biases", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
def test_without_biases(name, biases, dtype, rng):
    x, w1, b1, w2, b2 = inputs_of(name, rng, 31, dtype)
    inputs = x, w1, b1 if biases[0] else None, w2, b2 if biases[1] else None
    out, cache = getattr(module_of(name), f"{name}_forward")(*inputs)
    operation, dy = OPERATIONS[name], numbers(rng, *out.shape, dtype=dtype)
    wanted, exact = operation.forward(*(each if each is None else each.astype(np.float64) for each in inputs))
    check(out, wanted, dtype)
    found = getattr(module_of(name), f"{name}_backward")(dy, cache, needs=(True,) * (3 + sum(biases)))
    for mine, right in zip(found, operation.backward(dy.astype(np.float64), exact), strict=True):
        check(mine, right, dtype)
