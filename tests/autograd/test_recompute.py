"""Recomputed activations give the same bits, dropout included, and gradients of inputs and parameters."""

import numpy as np
import pytest

from tinygrad_arith.autograd import no_grad
from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.models import GPT, GPTConfig

CONFIG = GPTConfig(vocabulary=7, context=9, d_model=12, layers=2, heads=3, dropout=0.25, positions="sinusoidal")


def gradients(recompute: bool, first_only: bool = False):
    rng = np.random.default_rng(5)
    model = GPT(CONFIG).initialize(seed=2, policy=DtypePolicy.uniform("float64"))
    for index, block in enumerate(model.blocks):
        block.recompute_activations = recompute and (index == 0 or not first_only)
    logits = model(rng.integers(0, 7, size=(2, 9)), dropout_key=RandomKey(3, "dropout", step=4))
    logits.backward(rng.normal(size=logits.shape))
    return logits.data, model.flat.gradients


@pytest.mark.parametrize("first_only", [False, True])
def test_recomputing_blocks_changes_no_bit(first_only):
    expected_logits, expected = gradients(recompute=False)
    logits, recomputed = gradients(recompute=True, first_only=first_only)
    np.testing.assert_array_equal(logits, expected_logits)
    np.testing.assert_array_equal(recomputed, expected)
    assert np.abs(expected).max() > 0


def test_under_no_grad_nothing_is_recorded():
    model = GPT(CONFIG).initialize()
    model.blocks[0].recompute_activations = True
    with no_grad():
        assert not model(np.zeros((1, 3), dtype=np.int64)).requires_grad
