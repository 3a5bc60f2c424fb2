"""Recomputed activations give the same bits, dropout included, and gradients of inputs and parameters."""

import numpy as np
import pytest

from tinygrad_arith.autograd import BackwardError, Tensor, no_grad
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.autograd.recompute import recompute
from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import Linear

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


@pytest.mark.parametrize("wrapped", [np.asarray, Tensor], ids=["array", "tensor"])
@pytest.mark.parametrize("held", ["alone", "in a list", "by name"])
def test_ids_may_be_written_over_before_the_backward(wrapped, held):
    table, ids = Tensor(np.ones((4, 2)), requires_grad=True), np.array([0, 1])
    given = wrapped(ids)
    if held == "alone":
        y = recompute(lambda i: F.embedding(i, table), given, parameters=[table])
    elif held == "in a list":
        y = recompute(lambda both: F.embedding(both[0], table), [given], parameters=[table])
    else:
        y = recompute(lambda i: F.embedding(i, table), i=given, parameters=[table])
    ids[...] = 3
    y.sum().backward()
    np.testing.assert_array_equal(table.grad[:, 0], [1.0, 1.0, 0.0, 0.0])


def test_masks_may_be_written_over_before_the_backward():
    x, mask = Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True), np.array([True, False, True])
    y = recompute(lambda m, a: F.where(m, a, 0.0), Tensor(mask), x)
    mask[...] = False
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [1.0, 0.0, 1.0])


@pytest.mark.parametrize("part", [lambda module: module, lambda module: module.forward], ids=["module", "method"])
@pytest.mark.parametrize("wants", [False, True])
def test_the_parameters_of_a_module_are_known(part, wants):
    module = Linear(2, 3).initialize(seed=1)
    x, told = Tensor(np.ones((1, 2), np.float32), requires_grad=wants), []
    recompute(part(module), x).sum().backward(on_ready=told.append)
    np.testing.assert_array_equal(module.weight.grad, np.ones((2, 3)))
    np.testing.assert_array_equal(module.bias.grad, np.ones(3))
    assert {id(leaf) for leaf in told} == {id(leaf) for leaf in (module.weight, module.bias, *[x] * wants)}


def test_leaves_that_nobody_tells_of_are_refused():
    module = Linear(2, 3).initialize(seed=1)
    with pytest.raises(BackwardError, match=r"recompute: the function uses tensors with gradients: give them as `p"):
        recompute(lambda x: module(x) * 2.0, np.ones((1, 2), np.float32))
    with no_grad():
        assert not recompute(lambda x: module(x) * 2.0, np.ones((1, 2), np.float32)).requires_grad
