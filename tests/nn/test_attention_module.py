"""Self-attention: the causal flag, rotary positions, dropout of the probabilities, the probabilities themselves."""

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import Rotary, SelfAttention
from tinygrad_arith.nn.attention_dropout import attention_with_dropout
from tinygrad_arith.ops import ShapeError
from tinygrad_arith.reproductions import WindowConfig, WindowGPT
from tinygrad_arith.verify import assert_close, tolerance

FLOAT64 = DtypePolicy.uniform("float64")
EXACT = tolerance("half_batches", "float64")


def attention(heads=2, kv_heads=None, **options):
    return SelfAttention(8, heads, kv_heads, **options).initialize(seed=3, policy=FLOAT64)


def inputs(length=5):
    return np.random.default_rng(1).normal(size=(2, length, 8))  # (B, T, C)


def changes(module, position, **options):
    """At which positions the output changes when the input changes at one position."""
    x = inputs()
    before = module(Tensor(x), **options).data
    x[:, position] += 1.0
    return [t for t in range(5) if (module(Tensor(x), **options).data[:, t] != before[:, t]).any()]


def test_causal_attention_sees_what_came_before_and_the_other_sees_all():
    assert changes(attention(), 2) == [2, 3, 4]
    assert changes(attention(causal=False), 2) == [0, 1, 2, 3, 4]


def test_a_hidden_key_is_seen_by_its_own_query_projection_only():
    key_mask = np.array([[True, True, False, True, True]] * 2)
    assert changes(attention(causal=False), 2, key_mask=key_mask) == [2]


def test_rotary_attention_depends_on_the_distance_between_positions_only():
    module, x = attention(rotary=Rotary(50.0)), Tensor(inputs())
    near = module(x, positions=np.array([3, 4, 6, 7, 9])).data
    far = module(x, positions=np.array([[3, 4, 6, 7, 9], [23, 24, 26, 27, 29]])).data
    other = module(x, positions=np.array([3, 4, 6, 7, 19])).data
    assert_close(far, near, EXACT)
    np.testing.assert_array_equal(other[:, :4], near[:, :4])
    assert (other[:, 4] != near[:, 4]).all()


def test_rotary_attention_needs_positions_and_even_heads():
    with pytest.raises(ValueError, match="rotary positions need position ids"):
        attention(rotary=Rotary(10.0))(Tensor(inputs()))
    with pytest.raises(ShapeError, match="turn pairs of channels; 1 a head is odd"):
        attention(heads=8, rotary=Rotary(10.0)).check_sizes()


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("hidden", [None, 1, 5])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_attention_written_with_finer_operations_is_attention(causal, hidden, kv_heads):
    rng = np.random.default_rng(2)
    qkv = rng.normal(size=(2, 5, (4 + 2 * kv_heads) * 3))
    key_mask = None if hidden is None else np.arange(5) >= np.array([hidden, 2])[:, None]  # of row 0 perhaps no key
    dy = rng.normal(size=(2, 5, 12))
    one, other = Tensor(qkv, requires_grad=True), Tensor(qkv, requires_grad=True)
    plain = F.packed_attention(one, 4, kv_heads=kv_heads, causal=causal, key_mask=key_mask)
    finer = attention_with_dropout(other, 4, kv_heads, lambda p: p, causal=causal, key_mask=key_mask)
    assert_close(finer.data, plain.data, EXACT)
    plain.backward(dy)
    finer.backward(dy)
    assert_close(other.grad, one.grad, EXACT)


def test_what_is_dropped_are_probabilities():
    qkv = np.random.default_rng(2).normal(size=(2, 5, 3 * 8))
    qkv[..., 16:] = 1.0  # all values 1: the output is the sum of the probabilities kept
    kept = np.random.default_rng(3).random((2, 2, 1, 5, 5)) < 0.5
    out = attention_with_dropout(Tensor(qkv), 2, 2, lambda p: p * kept.astype(float), causal=False)
    whole = attention_with_dropout(Tensor(qkv), 2, 2, lambda p: p, causal=False)
    np.testing.assert_allclose(whole.data, 1.0, rtol=1e-12)
    assert (out.data[..., 0] < 1.0).any()
    assert (out.data <= 1.0 + 1e-12).all()


def test_probabilities_are_dropped_in_training_only():
    module, x = attention(dropout=0.4), Tensor(inputs())
    module.dropout.name_random_site(7)
    key = RandomKey(1, "dropout")
    evaluated, trained = module(x).data, module(x, dropout_key=key).data
    assert_close(evaluated, attention()(x).data, EXACT)
    assert (trained != evaluated).any()
    np.testing.assert_array_equal(module(x, dropout_key=key).data, trained)


def test_without_dropout_there_is_no_site_for_it():
    assert [name for name in attention().named_modules() if "dropout" in name] == []


@pytest.mark.parametrize("options", [{}, {"causal": False}, {"rotary": Rotary(30.0)}])
def test_the_probabilities_make_the_output(options):
    module, x = attention(4, 2, **options), Tensor(inputs())
    positions = np.arange(5) if "rotary" in options else None
    qkv = module.qkv(x).data
    shares = module.probabilities(qkv, positions)  # (B, NH, T, T)
    assert shares.shape == (2, 4, 5, 5)
    np.testing.assert_allclose(shares.sum(axis=-1), 1.0, rtol=1e-12)
    v = qkv.reshape(2, 5, 8, 2)[:, :, 6:].repeat(2, axis=2)  # (B, T, NH, HS): each value head serves two query heads
    mixed = np.einsum("bhqk,bkhc->bqhc", shares, v).reshape(2, 5, 8)
    assert_close(module.output(Tensor(mixed)).data, module(x, positions=positions).data, EXACT)


MASKS = {
    "bool": lambda mask: mask,
    "1": lambda mask: mask.astype(np.int64),
    "2": lambda mask: 2 * mask.astype(np.int32),
    "-1": lambda mask: -1 * mask.astype(np.int8),
    "uint8": lambda mask: 255 * mask.astype(np.uint8),
    "a list": lambda mask: (3 * mask).tolist(),
    "a tensor": lambda mask: Tensor(2 * mask),
}
SEEN = np.array([[True, True, False, True, True], [True, False, True, True, False]])


def ways_to_attend():
    """Everything that takes a mask of keys, as functions of it."""
    rng = np.random.default_rng(3)
    q = rng.normal(size=(2, 5, 2, 4)).astype(np.float32)
    qkv, x = q.repeat(3, axis=3).reshape(2, 5, 24), rng.normal(size=(2, 5, 12)).astype(np.float32)
    module, dropped = (SelfAttention(12, 3, dropout=rate).initialize(seed=1) for rate in (0.0, 0.5))
    gpt = GPT(GPTConfig(vocabulary=7, context=9, d_model=12, layers=1, heads=3)).initialize(seed=1)
    window = WindowGPT(WindowConfig(vocabulary=7, context=5, d_model=12, layers=1, heads=3)).initialize(seed=1)
    ids = rng.integers(1, 7, size=(2, 5))
    return {
        "attention": lambda m: F.attention(q, q, q, key_mask=m),
        "blockwise": lambda m: F.attention_blockwise(q, q, q, key_mask=m, block=2),
        "packed": lambda m: F.packed_attention(qkv, 2, key_mask=m),
        "module": lambda m: module(x, m),
        "with dropout": lambda m: dropped(x, m, dropout_key=RandomKey(1, "dropout")),
        "gpt": lambda m: gpt(ids, key_mask=m),
        "window": lambda m: window(ids, key_mask=m),
    }


@pytest.mark.parametrize("name", list(ways_to_attend()))
@pytest.mark.parametrize("kind", MASKS)
def test_of_a_mask_of_integers_0_hides_a_key(name, kind):
    attend = ways_to_attend()[name]
    if kind in ("a list", "a tensor") and name in ("module", "with dropout"):
        pytest.skip("a layer takes arrays")
    np.testing.assert_array_equal(attend(MASKS[kind](SEEN)).array, attend(SEEN).array)
    assert (attend(SEEN).array != attend(np.ones_like(SEEN)).array).any()


@pytest.mark.parametrize("name", list(ways_to_attend()))
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_a_mask_of_floats_is_refused_for_it_may_be_meant_to_be_added(name, dtype):
    with pytest.raises(ShapeError, match=r"key_mask must be bool, or integers of which 0 hides a key, not float"):
        ways_to_attend()[name](SEEN.astype(dtype))
