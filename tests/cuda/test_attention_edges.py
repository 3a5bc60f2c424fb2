"""Attention at the edges of its choices: scales, no keys, wide heads, settings and devices that change."""

import warnings

import cupy
import numpy as np
import pytest
from test_attention import BFLOAT16, FLOAT32, Sizes, assert_right, both_dtypes, both_masks, draw, names_of_variants, run

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.cuda import attention as attention_kernels
from tinygrad_arith.cuda import attention_gemm
from tinygrad_arith.cuda.attention import kernel_variant
from tinygrad_arith.cuda.graph import GraphedFunction
from tinygrad_arith.cuda.precision import float32_matmul_precision_as
from tinygrad_arith.ops import OPERATIONS, attention_backward, attention_forward, registry
from tinygrad_arith.ops.registry import choose

ROUNDING = {"float32": 2e-5, "bfloat16": 4e-2}  # of the largest entry


@pytest.fixture(autouse=True)
def settings():
    with float32_matmul_precision_as("float32"):
        yield
    attention_kernels.set_deterministic(True)


def check_with_scale(inputs, scale, dtype, causal=True):
    """Output and gradients through the tape against the reference in float64."""
    expected, cache = attention_forward(*(x.astype(np.float64) for x in inputs[:3]), causal=causal, scale=scale)
    gradients = attention_backward(inputs.dy.astype(np.float64), cache)
    leaves = [Tensor(cupy.asarray(x), requires_grad=True) for x in inputs[:3]]
    out = F.attention(*leaves, causal=causal, scale=scale)
    out.backward(cupy.asarray(inputs.dy))
    for mine, right in zip((out.array, *(leaf.grad for leaf in leaves)), (expected, *gradients), strict=True):
        error = np.abs(mine.get().astype(np.float64) - right).max()
        assert error <= ROUNDING[dtype] * max(np.abs(right).max(), 1.0)


IN_ARRAYS = (np.array(1), np.array(-1), np.array(0.5), np.array(-0.5, BFLOAT16))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("positions", [19, 70])
def test_every_scale_after_every_other(dtype, positions):
    """A choice made for one scale must not serve another: some kernels take no scale of 0 or below."""
    inputs = draw(Sizes(positions, positions, kv_heads=4, head_size=32, dtype=dtype))
    for scale in (0.7, -0.5, 0.0, np.float32(0.25), np.float32(-0.25), np.float64(0.0), None, 1, -1, *IN_ARRAYS):
        check_with_scale(inputs, scale, dtype)


@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16], ids=str)
def test_no_keys_are_left_to_the_reference(dtype):
    q, k = (cupy.asarray(np.zeros((1, queries, 2, 64), dtype)) for queries in (70, 0))
    for causal in (True, False):
        arguments = {"q": q, "k": k, "v": k, "causal": causal}
        forward = choose(OPERATIONS["attention"], arguments)[0]  # the reference's, in float32 for 16 bits
        assert forward is OPERATIONS["attention"].forward or forward.__qualname__.startswith("in_float32")


# Wide heads

WIDE = both_dtypes([Sizes(37, 37, 2, 4, 2, size, packed=True) for size in (129, 136, 160, 192, 255, 256)])
MORE = both_masks(
    both_dtypes([Sizes(16, 16, head_size=160), Sizes(130, 130, head_size=136), Sizes(20, 150, head_size=160)])
)
HIDDEN = both_masks(both_dtypes([Sizes(40, 40, batch=3, head_size=160, masked=True)]))
OPEN = both_dtypes(
    [Sizes(64, 17, head_size=160, causal=False), Sizes(33, 33, 1, 6, 1, 192), Sizes(33, 33, 1, 3, 3, 192)]
)
ALL_WIDE = WIDE + MORE + HIDDEN + OPEN


@pytest.mark.parametrize("sizes", ALL_WIDE, ids=str)
@pytest.mark.parametrize("block_bytes", [attention_gemm.BLOCK_BYTES, 6000])
def test_wide_heads_agree_with_the_reference(sizes, block_bytes, monkeypatch):
    monkeypatch.setattr(attention_gemm, "BLOCK_BYTES", block_bytes)
    assert names_of_variants(sizes)[0] == "gemm"
    inputs = draw(sizes)
    first = run(kernel_variant("gemm"), sizes, inputs)
    assert_right(first, sizes, inputs)
    for what, again in run(kernel_variant("gemm"), sizes, inputs).items():
        assert again.tobytes() == first[what].tobytes(), what


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_queries_before_the_first_key_see_nothing(dtype):
    sizes = Sizes(50, 30, head_size=160, dtype=dtype)
    inputs = draw(sizes)
    found = run(kernel_variant("gemm"), sizes, inputs)
    assert not found["out"][:, :20].any()
    assert np.isneginf(found["lse"][:, :, :20]).all()
    assert not found["dq"][:, :20].any()
    assert_right(found, sizes, inputs, names=("dk", "dv"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_wide_heads_stand_in_a_graph(dtype):
    inputs = draw(Sizes(40, 40, head_size=160, dtype=dtype))
    leaves = [Tensor(cupy.asarray(x), requires_grad=True) for x in inputs[:3]]
    dy, found = cupy.asarray(inputs.dy), [cupy.zeros_like(leaf.array) for leaf in leaves]

    def work():
        for leaf in leaves:
            leaf.grad = None
        F.attention(*leaves).backward(dy)
        for copy, leaf in zip(found, leaves, strict=True):
            copy[...] = leaf.grad

    work()
    expected = [copy.get() for copy in found]
    graphed = GraphedFunction(work)
    for _ in range(4):
        graphed()
    assert graphed.graph is not None, graphed.reason
    for copy, right in zip(found, expected, strict=True):
        assert copy.get().tobytes() == right.tobytes()


def test_heads_beyond_what_was_timed_warn_once():
    attention_gemm.warn_of_wide_heads.cache_clear()
    inputs = draw(Sizes(20, 20, head_size=300))
    with pytest.warns(RuntimeWarning, match="attention with heads of 300 channels: computed by matrix products"):
        check_with_scale(inputs, None, "float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_with_scale(inputs, None, "float32")
        check_with_scale(draw(Sizes(20, 20, head_size=256)), None, "float32")
    with pytest.warns(RuntimeWarning, match="attention with heads of 304 channels"):  # with few queries, too
        check_with_scale(draw(Sizes(5, 5, head_size=304)), None, "float32")


def test_a_scale_on_the_gpu_counts_by_its_value():
    inputs = draw(Sizes(70, 70, kv_heads=4, head_size=32))
    leaves = [Tensor(cupy.asarray(x)) for x in inputs[:3]]
    for scale in (1.0, -1.0, 0.0, 0.5):
        found = F.attention(*leaves, scale=cupy.asarray(np.float32(scale))).numpy()
        np.testing.assert_array_equal(found, F.attention(*leaves, scale=scale).numpy())


def test_the_written_token_after_token_kernel_takes_wide_heads():
    sizes = Sizes(1, 40, head_size=160)
    assert names_of_variants(sizes)[0] == "naive"
    inputs = draw(sizes)
    assert_right(run(kernel_variant("naive"), sizes, inputs), sizes, inputs)


# What a choice depends on beside the arguments


def test_a_change_of_determinism_forgets_choices_and_captures_again():
    inputs = draw(Sizes(200, 200, head_size=64, dtype="bfloat16"))
    leaves = [Tensor(cupy.asarray(x), requires_grad=True) for x in inputs[:3]]
    dy = cupy.asarray(inputs.dy)

    def work():
        F.attention(*leaves).backward(dy)

    graphed = GraphedFunction(work)
    for _ in range(4):
        graphed()
    before = graphed.graph
    assert before is not None, graphed.reason
    attention_kernels.set_deterministic(False)
    assert not registry._plans
    for _ in range(3):
        graphed()
    assert graphed.graph not in (None, before)


def test_a_choice_on_one_device_is_not_taken_over_on_another(monkeypatch):
    """On Ampere cards with 99 KiB of shared memory a block other tiles fit; here the architecture is only said."""
    q = Tensor(cupy.asarray(np.zeros((1, 200, 2, 128), BFLOAT16)))
    device, asked = [0], []
    monkeypatch.setattr(registry, "_current_device", lambda: device[0])
    registry.forget_plans()
    plain = attention_kernels.problem_of
    monkeypatch.setattr(
        attention_kernels, "problem_of", lambda *args, **options: asked.append(device[0]) or plain(*args, **options)
    )
    for number in (0, 0, 1, 1, 0):
        device[0] = number
        before = len([at for at in asked if at == number])
        F.attention(q, q, q)
        chosen = len([at for at in asked if at == number]) - before
        assert chosen >= 1  # the forward itself asks once
    first, second = (len([at for at in asked if at == number]) for number in (0, 1))
    assert second > 2, "nothing was chosen anew on the second device"
    assert first > 3


# Large scores


def whole_numbers(positions, head_size, dtype, factor=1):
    """q, k of whole numbers, whose scores are exact and often equal; v."""
    rng = np.random.default_rng(7)
    shape = (2, positions, 2, head_size)
    q, k = (factor * rng.integers(-3, 4, shape) for _ in range(2))
    return [x.astype(np.float64).astype(dtype) for x in (q, k, rng.normal(size=shape))]


def assert_forward_is_right(inputs, scale, dtype, rounding=None):
    expected, _ = attention_forward(*(x.astype(np.float64) for x in inputs), scale=scale)
    found = F.attention(*(Tensor(cupy.asarray(x)) for x in inputs), scale=scale).numpy().astype(np.float64)
    assert np.abs(found - expected).max() <= (rounding or ROUNDING[dtype.name]) * np.abs(expected).max()


@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16], ids=str)
@pytest.mark.parametrize(("positions", "head_size"), [(5, 32), (19, 32), (70, 32), (150, 32), (20, 160), (5, 160)])
@pytest.mark.parametrize("scale", [1e4, -1e4, 1e6, 1e30])
def test_the_largest_score_is_0_after_the_shift_whatever_the_scale(scale, positions, head_size, dtype):
    assert_forward_is_right(whole_numbers(positions, head_size, dtype), scale, dtype)


@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16], ids=str)
@pytest.mark.parametrize("precision", ["float32", "tf32"])
@pytest.mark.parametrize("scale", [None, 1e-12, 1e-30, 1e-42, 1e-60])
def test_scores_of_millions_and_scales_near_0(scale, precision, dtype):
    with float32_matmul_precision_as(precision):
        rounding = 2e-3 if precision == "tf32" and dtype == FLOAT32 else None
        assert_forward_is_right(whole_numbers(150, 32, dtype, factor=100), scale, dtype, rounding)
