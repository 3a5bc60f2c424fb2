"""What lies at the edges: empty batches, one position, padding rows, strided views, float32, long scores."""

import numpy as np
import pytest

from tinygrad_arith import ops
from tinygrad_arith.backend import RandomKey
from tinygrad_arith.ops import (
    attention_backward,
    attention_blockwise_backward,
    attention_blockwise_forward,
    attention_forward,
    count_targets,
    cross_entropy_backward,
    cross_entropy_forward,
    cross_entropy_sum_backward,
    cross_entropy_sum_forward,
    dropout_backward,
    dropout_forward,
    embedding_backward,
    embedding_forward,
    ffn_backward,
    ffn_forward,
    gelu_forward,
    index_backward,
    index_forward,
    layernorm_backward,
    layernorm_forward,
    linear_backward,
    linear_forward,
    log_softmax_backward,
    log_softmax_forward,
    max_backward,
    max_forward,
    mean_backward,
    mean_forward,
    packed_attention_backward,
    packed_attention_forward,
    packed_rotary_backward,
    packed_rotary_forward,
    rmsnorm_backward,
    rmsnorm_forward,
    rotary_backward,
    rotary_forward,
    softmax_backward,
    softmax_forward,
    where_backward,
    where_forward,
)
from tinygrad_arith.ops.packed_rotary import packed_rotary_shapes
from tinygrad_arith.ops.rmsnorm import rmsnorm_shapes
from tinygrad_arith.ops.rotary import rotary_shapes
from tinygrad_arith.ops.shape_rules import ShapeError
from tinygrad_arith.verify import assert_close, tolerance

ATTENTIONS = {
    "standard": (attention_forward, attention_backward),
    "blockwise": (attention_blockwise_forward, attention_blockwise_backward),
}


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def qkv(rng, batch=2, queries=5, keys=7, heads=4, kv_heads=2, head_size=3, dtype=np.float64):
    q = rng.normal(size=(batch, queries, heads, head_size))
    k, v = rng.normal(size=(2, batch, keys, kv_heads, head_size))
    return [array.astype(dtype) for array in (q, k, v)]


def run(pair, arrays, dy_seed=0, **options):
    forward, backward = pair
    out, cache = forward(*arrays, **options)
    dy = np.random.default_rng(dy_seed).normal(size=out.shape).astype(out.dtype)
    gradients = backward(dy, cache)
    return [out, *(gradients if isinstance(gradients, tuple) else (gradients,))]


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 64), (5, 7), (64, 64), (65, 65), (130, 130), (3, 200)])
@pytest.mark.parametrize("mask", ["causal", "full", "lengths", "key_mask"])
def test_the_two_forms_of_attention_are_one_function(queries, keys, mask, rng):
    arrays = qkv(rng, queries=queries, keys=keys)
    options = {
        "causal": {},
        "full": {"causal": False},
        "lengths": {"lengths": np.array([keys, keys // 2])},
        "key_mask": {"key_mask": rng.random((2, keys)) < 0.6, "causal": False},
    }[mask]
    standard, blockwise = (run(pair, arrays, **options) for pair in ATTENTIONS.values())
    for name, a, b in zip(("out", "dq", "dk", "dv"), standard, blockwise, strict=True):
        assert_close(b, a, tolerance("identity", "float64"), name)


def test_blockwise_attention_holds_no_square_array(rng):
    arrays = qkv(rng, queries=300, keys=300, heads=1, kv_heads=1)
    _, cache = attention_blockwise_forward(*arrays, block=16)
    held = [item for item in cache if isinstance(item, np.ndarray)]
    assert max(array.size for array in held) <= arrays[0].size


@pytest.mark.parametrize("form", ATTENTIONS)
def test_queries_that_see_nothing_get_zeros_and_give_zeros(form, rng):
    arrays = qkv(rng, queries=7, keys=7)
    lengths = np.array([0, 4])
    out, dq, dk, dv = run(ATTENTIONS[form], arrays, lengths=lengths)
    assert all(np.isfinite(array).all() for array in (out, dq, dk, dv))
    assert not out[0].any()
    assert not dq[0].any()
    assert not dk[0].any()
    assert not dv[0].any()
    assert not dk[1, 4:].any()
    assert np.abs(out[1]).min() > 0


@pytest.mark.parametrize("form", ATTENTIONS)
def test_large_scores_do_not_overflow(form, rng):
    q, k, v = qkv(rng)
    for array in run(ATTENTIONS[form], [q * 1e4, k * 1e4, v]):
        assert np.isfinite(array).all()


@pytest.mark.parametrize("form", ATTENTIONS)
def test_an_empty_batch_and_one_position_work(form, rng):
    for array in run(ATTENTIONS[form], qkv(rng, batch=0)):
        assert array.shape[0] == 0
    q, k, v = qkv(rng, queries=1, keys=1, heads=1, kv_heads=1)
    out, dq, dk, _ = run(ATTENTIONS[form], [q, k, v])
    np.testing.assert_allclose(out, v)
    np.testing.assert_allclose(dq, 0, atol=1e-15)
    np.testing.assert_allclose(dk, 0, atol=1e-15)


@pytest.mark.parametrize("form", ATTENTIONS)
def test_strided_views_are_read_as_they_are(form, rng):
    packed = rng.normal(size=(2, 6, 8, 3))  # q, k, v side by side
    views = [packed[:, :, :4], packed[:, :, 4:6], packed[:, :, 6:]]
    reversed_views = [view[:, ::-1] for view in views]
    for arrays in (views, reversed_views):
        for mine, other in zip(
            run(ATTENTIONS[form], arrays), run(ATTENTIONS[form], [a.copy() for a in arrays]), strict=True
        ):
            assert_close(mine, other, tolerance("identity", "float64"))


def test_packed_attention_is_attention_on_views(rng):
    x = rng.normal(size=(2, 5, (4 + 2 * 2) * 3))
    out, cache = packed_attention_forward(x, 4, kv_heads=2)
    dy = rng.normal(size=out.shape)
    dx = packed_attention_backward(dy, cache)
    heads = x.reshape(2, 5, 8, 3)
    separate, other = attention_forward(heads[:, :, :4], heads[:, :, 4:6], heads[:, :, 6:])
    np.testing.assert_array_equal(out, separate.reshape(2, 5, 12))
    dq, dk, dv = attention_backward(dy.reshape(2, 5, 4, 3), other)
    np.testing.assert_array_equal(dx, np.concatenate([dq, dk, dv], axis=2).reshape(x.shape))


def test_rotary_is_a_multiplication_of_complex_numbers(rng):
    """The definition in other words: a pair is a number, and a position p turns it by exp(i p w)."""
    x, positions = rng.normal(size=(2, 5, 3, 8)), rng.integers(0, 40, (2, 5))
    y, _ = rotary_forward(x, positions, base=300.0)
    angle = positions[:, :, None, None] * 300.0 ** (-np.arange(0, 8, 2) / 8)  # (B, T, 1, HS/2)
    expected = x.view(np.complex128) * np.exp(1j * angle)  # (B, T, NH, HS/2)
    assert_close(y, expected.view(np.float64), tolerance("identity", "float64"))


@pytest.mark.parametrize("shift", [1, 1000])
def test_scores_of_turned_queries_and_keys_see_only_differences_of_positions(shift, rng):
    q, k = rng.normal(size=(2, 1, 6, 2, 8))
    positions = np.array([0, 3, 4, 5, 9, 20])

    def scores(at):
        turned = [rotary_forward(x, at)[0] for x in (q, k)]
        return np.einsum("bqhs,bkhs->bhqk", *turned)

    assert_close(scores(positions + shift), scores(positions), tolerance("identity", "float64"))
    assert np.abs(scores(2 * positions) - scores(positions)).max() > 0.1


def test_rotary_turns_back_what_it_turned_and_keeps_every_length(rng):
    x, positions = rng.normal(size=(2, 5, 3, 8)), rng.integers(0, 40, (2, 5))
    y, cache = rotary_forward(x, positions)
    assert_close(rotary_backward(y, cache), x, tolerance("identity", "float64"))
    pairs = (*x.shape[:3], 4, 2)
    lengths = [np.linalg.norm(array.reshape(pairs), axis=-1) for array in (x, y)]
    assert_close(lengths[1], lengths[0], tolerance("identity", "float64"))


def test_packed_rotary_is_rotary_on_queries_and_keys(rng):
    qkv, positions = rng.normal(size=(2, 5, (4 + 2 * 2) * 6)), rng.integers(0, 40, (2, 5))
    out, _ = packed_rotary_forward(qkv, positions, 4, kv_heads=2)
    heads = qkv.reshape(2, 5, 8, 6)
    parts = rotary_forward(heads[:, :, :4], positions)[0], rotary_forward(heads[:, :, 4:6], positions)[0]
    np.testing.assert_array_equal(out, np.concatenate([*parts, heads[:, :, 6:]], axis=2).reshape(qkv.shape))


def test_equal_positions_of_all_rows_may_be_given_once(rng):
    x = rng.normal(size=(3, 5, 2, 6))
    for mine, other in zip(
        run((rotary_forward, rotary_backward), [x, np.arange(5)]),
        run((rotary_forward, rotary_backward), [x, np.tile(np.arange(5), (3, 1))]),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(
    ("shape", "positions", "message"),
    [
        ((2, 5, 3, 7), np.arange(5), r"rotary: the head size must be even.* x \(2, 5, 3, 7\)"),
        ((2, 5, 12), np.arange(5), r"rotary: x must be \(B, T, NH, HS\)"),
        ((2, 5, 3, 6), np.arange(4), r"rotary: positions must be \(T,\) or \(B, T\).* positions \(4,\)"),
        ((2, 5, 3, 6), np.zeros((3, 5), int), r"positions must be \(T,\) or \(B, T\)"),
        ((2, 5, 3, 6), np.arange(5.0), r"rotary: positions must be integers"),
    ],
)
def test_rotary_says_which_shape_does_not_fit(shape, positions, message):
    with pytest.raises(ShapeError, match=message):
        rotary_shapes(np.zeros(shape), positions)


def test_packed_rotary_and_rmsnorm_say_which_shape_does_not_fit():
    with pytest.raises(ShapeError, match=r"packed_rotary: qkv must be .* NH = 4, NHkv = 2 and HS even"):
        packed_rotary_shapes(np.zeros((2, 5, 24)), np.arange(5), 4, kv_heads=2)
    with pytest.raises(ShapeError, match=r"packed_rotary: positions must be \(T,\) or \(B, T\)"):
        packed_rotary_shapes(np.zeros((2, 5, 32)), np.arange(6), 4, kv_heads=2)
    with pytest.raises(ShapeError, match=r"rmsnorm: weight must be \(C,\) for x \(..., C\)"):
        rmsnorm_shapes(np.zeros((2, 5)), np.zeros(4))


def test_a_row_of_zeros_is_normalised_to_zeros():
    y, cache = rmsnorm_forward(np.zeros((2, 3)), np.ones(3))
    assert not y.any()
    np.testing.assert_allclose(rmsnorm_backward(np.ones((2, 3)), cache)[0], 1e-5**-0.5)


def test_rmsnorm_is_layernorm_of_rows_whose_mean_is_zero(rng):
    x, weight = rng.normal(size=(4, 6)), rng.normal(size=6)
    x -= x.mean(axis=-1, keepdims=True)
    y, _ = rmsnorm_forward(x, weight)
    assert_close(y, layernorm_forward(x, weight, np.zeros(6))[0], tolerance("identity", "float64"))


CALLS = {
    "embedding": lambda r, b: (
        embedding_forward,
        embedding_backward,
        (r.integers(0, 5, (b, 4)), r.normal(size=(5, 3))),
    ),
    "linear": lambda r, b: (
        linear_forward,
        linear_backward,
        (r.normal(size=(b, 4, 3)), r.normal(size=(3, 5)), r.normal(size=5)),
    ),
    "layernorm": lambda r, b: (
        layernorm_forward,
        layernorm_backward,
        (r.normal(size=(b, 4, 3)), r.normal(size=3), r.normal(size=3)),
    ),
    "attention": lambda r, b: (attention_forward, attention_backward, tuple(r.normal(size=(3, b, 4, 2, 3)))),
    "attention_blockwise": lambda r, b: (
        attention_blockwise_forward,
        attention_blockwise_backward,
        tuple(r.normal(size=(3, b, 4, 2, 3))),
    ),
    "packed_attention": lambda r, b: (
        packed_attention_forward,
        packed_attention_backward,
        (r.normal(size=(b, 4, 18)), 2),
    ),
    "rmsnorm": lambda r, b: (rmsnorm_forward, rmsnorm_backward, (r.normal(size=(b, 4, 3)), r.normal(size=3))),
    "rotary": lambda r, b: (rotary_forward, rotary_backward, (r.normal(size=(b, 4, 3, 6)), np.arange(4) + 20)),
    "packed_rotary": lambda r, b: (
        packed_rotary_forward,
        packed_rotary_backward,
        (r.normal(size=(b, 4, 24)), r.integers(0, 50, (b, 4)), 2),
    ),
    "ffn": lambda r, b: (
        ffn_forward,
        ffn_backward,
        (r.normal(size=(b, 4, 3)), r.normal(size=(3, 5)), r.normal(size=5), r.normal(size=(5, 3)), r.normal(size=3)),
    ),
    "gated_ffn": lambda r, b: (
        ops.gated_ffn_forward,
        ops.gated_ffn_backward,
        (r.normal(size=(b, 4, 3)), r.normal(size=(3, 10)), r.normal(size=10), r.normal(size=(5, 3)), r.normal(size=3)),
    ),
    "silu": lambda r, b: (ops.silu_forward, ops.silu_backward, (r.normal(size=(b, 4, 3)),)),
    "dropout": lambda r, b: (dropout_forward, dropout_backward, (r.normal(size=(b, 4)), 0.3, RandomKey(1, "test"))),
    "cross_entropy": lambda r, b: (
        cross_entropy_forward,
        cross_entropy_backward,
        (r.normal(size=(b, 4, 5)), r.integers(-1, 5, (b, 4))),
    ),
    "cross_entropy_sum": lambda r, b: (
        cross_entropy_sum_forward,
        cross_entropy_sum_backward,
        (r.normal(size=(b, 4, 5)), r.integers(-1, 5, (b, 4))),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_empty_batch_gives_empty_gradients_and_zero_parameter_gradients(name, rng):
    forward, backward, inputs = CALLS[name](rng, 0)
    results = run((forward, backward), inputs)
    arrays = [a for a in inputs if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    for gradient, array in zip(results[1:], arrays, strict=True):
        assert gradient.shape == array.shape
        assert not gradient.any()


@pytest.mark.parametrize("name", CALLS)
def test_float32_is_never_widened_and_agrees_with_float64(name, rng):
    forward, backward, inputs = CALLS[name](rng, 2)
    narrow = tuple(a.astype(np.float32) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in inputs)
    wide = tuple(a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in narrow)
    for mine, reference in zip(run((forward, backward), narrow), run((forward, backward), wide), strict=True):
        assert mine.dtype == np.float32
        assert_close(mine, reference, tolerance("float32", "float32"), name, dtype=False)


def test_cross_entropy_of_a_solved_row_is_small_and_not_rounded_away():
    logits = np.array([[60.0, 0.0, -5.0]], dtype=np.float32)
    loss, _ = cross_entropy_sum_forward(logits, np.array([0]))
    assert 0.0 <= loss < 1e-20
    logits = np.array([[112.0, 100.0]], dtype=np.float32)
    loss, _ = cross_entropy_sum_forward(logits, np.array([0]))
    assert loss == pytest.approx(np.exp(-12.0), rel=1e-2)


def test_cross_entropy_without_a_counted_target_is_zero(rng):
    loss, cache = cross_entropy_forward(rng.normal(size=(3, 5)), np.full(3, -1))
    assert loss == 0.0
    assert not cross_entropy_backward(np.float64(1.7), cache).any()


def test_cross_entropy_with_extreme_logits_is_finite():
    logits = np.array([[1e30, -1e30, 0.0]])
    loss, cache = cross_entropy_forward(logits, np.array([1]))
    assert np.isfinite(loss)
    assert np.isfinite(cross_entropy_backward(1.0, cache)).all()


def test_count_targets_counts_those_that_bear_loss():
    assert count_targets(np.array([[1, -1, 0], [-1, -1, 2]])) == 3
    assert count_targets(np.array([[1, 3, 0], [3, 3, 2]], ">u2"), ignore_index=-100) == 6  # NumPy 2.0 crashed


def test_the_forms_of_gelu_differ_by_less_than_the_published_bound():
    from tinygrad_arith.ops import gelu_exact_forward

    x = np.linspace(-6, 6, 1001)
    assert np.abs(gelu_forward(x)[0] - gelu_exact_forward(x)[0]).max() < 5e-4


def test_dropout_draws_the_same_mask_again_and_keeps_the_mean(rng):
    x, key = np.ones((200, 300)), RandomKey(5, "dropout", step=2, site=9)
    y, cache = dropout_forward(x, 0.25, key)
    dy = rng.normal(size=x.shape)
    np.testing.assert_array_equal(dropout_backward(dy, cache), dy * y)
    assert y.mean() == pytest.approx(1.0, abs=0.01)
    assert set(np.unique(y)) == {0.0, 1 / 0.75}


def test_inputs_are_never_written_to(rng):
    for name, call in CALLS.items():
        forward, backward, inputs = call(rng, 2)
        for array in inputs:
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        out, cache = forward(*inputs)
        dy = rng.normal(size=out.shape)
        dy.flags.writeable = False
        backward(dy, cache), name


def test_ties_of_max_share_the_gradient_equally():
    x = np.array([[1.0, 2.0, 2.0], [3.0, 0.0, 1.0]])
    y, cache = max_forward(x, axis=1)
    np.testing.assert_array_equal(y, [2.0, 3.0])
    np.testing.assert_allclose(max_backward(np.array([1.4, -0.6]), cache), [[0.0, 0.7, 0.7], [-0.6, 0.0, 0.0]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_and_its_logarithm_far_from_zero(dtype):
    x = np.array([[1e4, 0.0, -np.inf], [-3e4, -3e4, -3e4]], dtype)
    y, cache = softmax_forward(x)
    np.testing.assert_allclose(y, [[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)
    assert np.isfinite(softmax_backward(np.ones_like(x), cache)).all()
    y, cache = log_softmax_forward(x)
    np.testing.assert_allclose(y, [[0.0, -1e4, -np.inf], [np.log(1 / 3)] * 3], rtol=1e-6)
    assert np.isfinite(log_softmax_backward(np.ones_like(x), cache)).all()
    assert y.dtype == dtype


def test_softmax_of_nothing_is_nothing():
    for shape in ((3, 0), (0, 3)):
        for forward, backward in (
            (softmax_forward, softmax_backward),
            (log_softmax_forward, log_softmax_backward),
        ):
            y, cache = forward(np.zeros(shape))
            assert y.shape == backward(y, cache).shape == shape


def test_where_lets_no_infinite_gradient_of_the_other_side_through():
    _, cache = where_forward(np.array([True, False]), np.zeros(2), np.zeros(2))
    da, db = where_backward(np.array([np.inf, np.nan]), cache)
    np.testing.assert_array_equal(da, [np.inf, 0.0])
    np.testing.assert_array_equal(db, [0.0, np.nan])


def test_ids_changed_after_the_forward_do_not_reach_the_backward():
    ids, table = np.array([2, 0, 2]), np.arange(6.0).reshape(3, 2)
    for forward, backward, inputs in (
        (embedding_forward, embedding_backward, (ids, table)),
        (index_forward, index_backward, (table, (ids, slice(None)))),
    ):
        ids[:] = [2, 0, 2]
        out, cache = forward(*inputs)
        ids[:] = 1
        np.testing.assert_array_equal(backward(np.ones_like(out), cache), [[1, 1], [0, 0], [2, 2]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_a_mean_is_right_to_the_last_bit(rng, dtype):
    dy = rng.normal(size=4).astype(dtype)
    cache = mean_forward(rng.normal(size=(4, 3)).astype(dtype), axis=1)[1]
    np.testing.assert_array_equal(mean_backward(dy, cache), np.repeat((dy / dtype(3))[:, None], 3, axis=1))
