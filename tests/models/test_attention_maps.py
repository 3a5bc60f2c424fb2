"""Attention maps: their shapes, what is hidden, and that they are the model's own."""

import numpy as np
import pytest

from tinygrad_arith.backend import DtypePolicy
from tinygrad_arith.models import GPT, GPTConfig, attention_maps
from tinygrad_arith.reproductions import WindowConfig, WindowGPT, WindowNet

FLOAT64 = DtypePolicy.uniform("float64")


def gpt(**options):
    config = GPTConfig(5, 7, d_model=8, layers=2, heads=4, kv_heads=2, **options)
    return GPT(config).initialize(seed=1, policy=FLOAT64)


def test_one_map_a_block_over_the_keys_that_a_query_may_see():
    ids = np.random.default_rng(1).integers(0, 5, size=(3, 6))
    key_mask = np.arange(6) >= np.array([0, 1, 2])[:, None]
    maps = attention_maps(gpt(), ids, key_mask=key_mask)
    assert [m.shape for m in maps] == [(3, 4, 6, 6)] * 2
    visible = np.tri(6, dtype=bool) & key_mask[:, None, None, :]  # (B, 1, T, T)
    for m in maps:
        np.testing.assert_array_equal(m > 0, np.broadcast_to(visible, m.shape))
        np.testing.assert_allclose(m.sum(axis=-1), np.broadcast_to(visible.any(axis=-1), m.shape[:3]), atol=1e-12)


def test_the_first_map_by_hand():
    model, ids = gpt(), np.array([[3, 1, 4]])
    block = model.blocks[0]
    x = model.embed(ids, np.arange(3))
    qkv = block.attention.qkv(block.attention_norm(x)).data.reshape(3, 8, 2)  # 4 queries, 2 keys, 2 values
    scores = np.array([qkv[:, head] @ qkv[:, 4 + head // 2].T for head in range(4)]) / np.sqrt(2)  # (NH, T, T)
    weights = np.exp(scores) * np.tri(3)
    np.testing.assert_allclose(attention_maps(model, ids)[0][0], weights / weights.sum(axis=-1, keepdims=True))


def test_rotary_positions_show_in_the_maps():
    model, ids = gpt(positions="rotary", rotary_base=20.0), np.array([[3, 1, 4]])
    default = attention_maps(model, ids)[0]
    np.testing.assert_allclose(attention_maps(model, ids, positions=np.arange(3)[None] + 5)[0], default)
    assert (attention_maps(model, ids, positions=np.array([[0, 1, 9]]))[0][0, :, 2] != default[0, :, 2]).any()


def test_maps_of_a_window_are_not_causal():
    model = WindowGPT(WindowConfig(5, 7, d_model=6, layers=1, heads=3)).initialize(seed=1)
    (m,) = attention_maps(model, np.array([[1, 2, 3, 4, 1, 0, 0]]))
    assert m.shape == (1, 3, 7, 7)
    assert (m[..., :5] > 0).all()
    assert (m[..., 5:] == 0).all()


def test_a_model_without_attention_has_no_maps():
    model = WindowNet(WindowConfig(5, 7, d_model=6, layers=1, heads=3)).initialize(seed=1)
    with pytest.raises(ValueError, match="a WindowNet has no attention"):
        attention_maps(model, np.ones((1, 7), dtype=np.int64))
