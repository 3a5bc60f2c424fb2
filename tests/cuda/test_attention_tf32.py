"""What is special to the tf32 kernel variant: how exact its two precisions are, and that long sums do not drift.

tests/cuda/test_attention.py runs it with three products, as float32 is set, over all edge shapes. Here both
precisions run, each beside the reference's formulas in a precision of the same kind.
"""

import numpy as np
import pytest
from test_attention import Inputs, Sizes, draw, reference, run

from tinygrad_arith.cuda.attention import FLOAT32, Problem, kernel_variant
from tinygrad_arith.cuda.attention_tf32 import PRODUCTS
from tinygrad_arith.cuda.precision import float32_matmul_precision_as
from tinygrad_arith.ops import attention_forward

SETTINGS = {"tf32": "tf32", "3xtf32": "float32"}  # of precision.py, by precision of a problem
ALLOWED = {"out": 2.0, "dq": 3.0, "dk": 3.0, "dv": 3.0}  # errors of the plain implementation in the same precision
EPS = np.finfo(np.float32).eps
HEAD_SIZES = (8, 16, 20, 24, 32, 48, 64, 96, 128)
SHAPES = (
    *(Sizes(65, 65, 1, 2, 1, size, packed=True) for size in HEAD_SIZES),
    *(Sizes(t, t, 1, 2, 2, 64) for t in (1, 31, 33, 127, 128, 129, 300)),
    *(Sizes(33, 150, 2, 4, 2, 64, causal=causal) for causal in (True, False)),
    *(Sizes(150, 150, 2, 4, 2, size, masked=True) for size in (32, 128)),
    Sizes(150, 40, 1, 2, 2, 64, causal=False),
    Sizes(200, 200, 1, 2, 2, 64, spread=4.0),
)


def with_precision(precision: str, sizes: Sizes, inputs: Inputs) -> dict[str, np.ndarray]:
    """out, lse and the gradients by the kernel variant."""
    with float32_matmul_precision_as(SETTINGS[precision]):
        return run(kernel_variant("tf32"), sizes, inputs)


def rounded(x: np.ndarray) -> np.ndarray:
    """To 11 significant bits, in float64: what one factor of a tensor core holds."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa * 2048) / 2048, exponent)


def reference_tf32(sizes: Sizes, inputs: Inputs) -> dict[str, np.ndarray]:
    """The reference's formulas, with both factors of every product rounded."""

    def product(a, b):
        return rounded(a) @ rounded(b)

    q, k, v, dy = (x.astype(np.float64).transpose(0, 2, 1, 3) for x in inputs[:4])  # (B, NH or NHkv, T, HS)
    group, scale = sizes.heads // sizes.kv_heads, 1 / np.sqrt(sizes.head_size)
    k, v = (np.repeat(x, group, axis=1) for x in (k, v))  # (B, NH, Tk, HS)
    visible = np.ones((sizes.batch, 1, sizes.queries, sizes.keys), bool)
    if sizes.causal:
        visible &= np.tri(sizes.queries, sizes.keys, sizes.keys - sizes.queries, dtype=bool)
    if inputs.key_mask is not None:
        visible &= inputs.key_mask[:, None, None, :]
    scores = np.where(visible, product(q, k.swapaxes(-1, -2)) * scale, -np.inf)  # (B, NH, Tq, Tk)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True, initial=-1e30))
    p = weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-30)
    out = product(p, v)
    ds = p * (product(dy, v.swapaxes(-1, -2)) - (dy * out).sum(axis=-1, keepdims=True)) * scale
    results = {"out": out, "dq": product(ds, k)}
    for name, gradient in {"dk": product(ds.swapaxes(-1, -2), q), "dv": product(p.swapaxes(-1, -2), dy)}.items():
        shape = (sizes.batch, sizes.kv_heads, group, sizes.keys, sizes.head_size)
        results[name] = gradient.reshape(shape).sum(axis=2)
    return {name: x.transpose(0, 2, 1, 3) for name, x in results.items()}


PLAIN = {"tf32": reference_tf32, "3xtf32": lambda sizes, inputs: reference(sizes, inputs, np.float32)}


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
@pytest.mark.parametrize("precision", PRODUCTS)
def test_the_error_is_that_of_a_plain_implementation(precision, sizes):
    inputs = draw(sizes)
    right, plain = reference(sizes, inputs, np.float64), PLAIN[precision](sizes, inputs)
    results = with_precision(precision, sizes, inputs)
    for name, factor in ALLOWED.items():
        error = np.abs(results[name] - right[name]).max()
        allowed = factor * np.abs(plain[name] - right[name]).max() + 8 * EPS * max(np.abs(right[name]).max(), 1.0)
        assert error <= allowed, f"{name}: error {error:.3g}, allowed {allowed:.3g}"


@pytest.mark.parametrize("head_size", [16, 64, 128])
def test_a_long_sum_of_one_sign_does_not_drift(head_size):
    """Tensor cores cut off where float32 rounds; 4096 steps of that in one sum would show."""
    sizes = Sizes(4096, 4096, 1, 1, 1, head_size, causal=False)
    inputs = draw(sizes)
    inputs = inputs._replace(v=np.abs(inputs.v), dy=np.abs(inputs.dy))
    right, plain = reference(sizes, inputs, np.float64), reference_in_one_sum(sizes, inputs)
    results = with_precision("3xtf32", sizes, inputs)
    for name in ("out", "dv"):
        error = np.abs(results[name] - right[name]).max()
        assert error <= 3 * np.abs(plain[name] - right[name]).max() + 4 * EPS * np.abs(right[name]).max(), name


def reference_in_one_sum(sizes: Sizes, inputs: Inputs) -> dict[str, np.ndarray]:
    """out and dv in float32, each by one matrix product over all positions. (Ours makes that for dv in halves.)"""
    out, cache = attention_forward(*inputs[:3], causal=sizes.causal)
    p = cache.probabilities.reshape(sizes.queries, sizes.keys)  # (Tq, Tk): of one head
    return {"out": out, "dv": (p.T @ inputs.dy[0, :, 0])[None, :, None]}


@pytest.mark.parametrize("precision", PRODUCTS)
def test_the_same_bits_every_time(precision):
    sizes = Sizes(300, 300, 2, 4, 2, 64, masked=True)
    inputs = draw(sizes)
    first = with_precision(precision, sizes, inputs)
    for _ in range(3):
        for name, again in with_precision(precision, sizes, inputs).items():
            assert again.tobytes() == first[name].tobytes(), name


@pytest.mark.parametrize("precision", PRODUCTS)
@pytest.mark.parametrize("which", ["q", "k", "v"])
def test_a_nan_is_not_lost(precision, which):
    """The bits that a NaN has on the GPU (0x7fffffff) overflow where a factor is rounded."""
    sizes = Sizes(40, 40, 1, 1, 1, 64, causal=False)
    inputs = draw(sizes)
    getattr(inputs, which)[0, 3, 0, 5] = np.uint32(0x7FFFFFFF).view(np.float32)
    out = with_precision(precision, sizes, inputs)["out"][0, :, 0]  # (T, HS)
    met = {"q": out[3], "k": out, "v": out[:, 5]}[which]
    assert np.isnan(met).all()


def problem(**changes) -> Problem:
    plain = Problem(1, 64, 64, 2, 2, 64, True, 0.125, None, FLOAT32, 90, True, "tf32")
    return plain._replace(**changes)


def test_what_is_accepted():
    accepts = kernel_variant("tf32").accepts
    assert accepts(problem())
    assert accepts(problem(precision="3xtf32", head_size=128))
    assert accepts(problem(arch=86, head_size=128))  # a block has less shared memory there
    assert not accepts(problem(precision="float32"))
    assert not accepts(problem(head_size=130))
    assert not accepts(problem(head_size=66))
    assert not accepts(problem(keys=63))
    assert not accepts(problem(arch=75))


def test_lse_of_queries_that_see_nothing_is_minus_infinity():
    sizes = Sizes(70, 70, 2, 2, 2, 32, masked=True)
    inputs = draw(sizes)
    results = with_precision("tf32", sizes, inputs)
    assert np.isneginf(results["lse"][0]).all()
    assert not results["out"][0].any()
