"""Recomputed activations give the same bits, dropout included, and gradients of inputs and parameters."""

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor, no_grad
from tinygrad_arith.autograd.recompute import recompute
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


def test_a_whole_model_and_its_embeddings_can_be_recomputed():
    rng = np.random.default_rng(5)
    ids, dy = rng.integers(0, 7, size=(2, 9)), rng.normal(size=(2, 9, 7))
    found = []
    for recomputed in (False, True):
        model = GPT(CONFIG).initialize(seed=2, policy=DtypePolicy.uniform("float64"))
        model.recompute_activations = model.token_embedding.recompute_activations = recomputed
        model(ids).backward(dy)
        found.append(model.flat.gradients.copy())
    np.testing.assert_array_equal(*found)


def test_on_ready_tells_of_parameters_inside_too():
    model = GPT(CONFIG).initialize(seed=2)
    model.blocks[0].recompute_activations = True
    names = {id(p): name for name, p in model.named_parameters().items()}
    ready = []
    model(np.zeros((1, 3), dtype=np.int64)).sum().backward(on_ready=lambda p: ready.append(names[id(p)]))
    assert sorted(ready) == sorted(names.values())
    assert ready.index("head.weight") < ready.index("blocks.1.ffn.up.weight") < ready.index("blocks.0.ffn.up.weight")


def test_tensors_given_by_name_get_their_gradients():
    x = Tensor(np.array([1.0, -2.0]), requires_grad=True)
    y = Tensor(np.array([3.0, 0.5]), requires_grad=True)
    product = recompute(lambda a, b: a * b, x * 2.0, b=y.exp())
    product.backward(np.array([1.0, -1.5]))
    np.testing.assert_allclose(x.grad, [2 * np.exp(3.0), -3.0 * np.exp(0.5)])
    np.testing.assert_allclose(y.grad, [2.0 * np.exp(3.0), 6.0 * np.exp(0.5)])


def test_under_no_grad_nothing_is_recorded():
    model = GPT(CONFIG).initialize()
    model.blocks[0].recompute_activations = True
    with no_grad():
        assert not model(np.zeros((1, 3), dtype=np.int64)).requires_grad


def test_tensors_in_lists_get_their_gradients():
    x, y = (Tensor(np.array([1.0, -2.0]), requires_grad=True) for _ in range(2))
    product = recompute(lambda both, by: both[0] * both[1] * by["scale"], [x, y], by={"scale": 2.0})
    product.backward(np.array([1.0, 3.0]))
    np.testing.assert_array_equal(x.grad, [2.0, -12.0])
    np.testing.assert_array_equal(y.grad, [2.0, -12.0])


def test_a_function_that_returns_its_argument_passes_its_gradient_on():
    x = Tensor(np.array([1.0, -2.0]), requires_grad=True)
    recompute(lambda a: a, x).backward(np.array([3.0, 4.0]))
    np.testing.assert_array_equal(x.grad, [3.0, 4.0])
