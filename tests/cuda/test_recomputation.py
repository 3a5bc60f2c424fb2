"""Recomputed activations in bfloat16: the gradients of the weights are the bits of a backward without recomputation."""

import cupy
import ml_dtypes
import numpy as np
import pytest

from tinygrad_arith.autograd import functions as F
from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.cuda.graph import GraphedFunction
from tinygrad_arith.models import GPT, GPTConfig

CONFIG = GPTConfig(vocabulary=7, context=9, d_model=32, layers=2, heads=2, dropout=0.25, positions="sinusoidal")


def model_of(recomputed, dtype):
    model = GPT(CONFIG).initialize(seed=2, policy=DtypePolicy.named(dtype), device="cuda")
    for block in model.blocks:
        block.recompute_activations = recomputed
    return model


def step_of(model):
    rng = np.random.default_rng(5)
    ids, targets = (cupy.asarray(rng.integers(0, 7, size=(3, 9))) for _ in range(2))
    key = RandomKey(3, "dropout", step=4)

    def step():
        with model.flat.fresh_gradients():
            loss = F.cross_entropy_sum(model(ids, dropout_key=key), targets)
            loss.backward(cupy.ones((), np.float32))

    return step


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("graphed", [False, True])
def test_recomputing_changes_no_bit_of_the_gradients(dtype, graphed):
    found = []
    for recomputed in (False, True):
        model = model_of(recomputed, dtype)
        step = GraphedFunction(step_of(model)) if graphed else step_of(model)
        for _ in range(4):  # as it is, then captured, then replayed
            step()
        if graphed:
            assert step.graph is not None, step.reason
        found.append(model.flat.gradients.get())
    np.testing.assert_array_equal(*found)
    assert np.abs(found[0]).max() > 0


def test_recomputed_gradients_are_not_rounded_to_bfloat16():
    model = model_of(True, "bfloat16")
    step_of(model)()
    weight = model.blocks[0].ffn.up.weight.grad.get()
    assert weight.dtype == np.float32
    assert (weight != weight.astype(ml_dtypes.bfloat16).astype(np.float32)).mean() > 0.5


def test_a_parameter_that_the_function_does_not_use_gets_zeros():
    model = model_of(True, "bfloat16")
    model.flat.gradients.fill(7.0)
    model.blocks[0].forward = lambda x, *others, **options: F.relu(x)
    step_of(model)()
    np.testing.assert_array_equal(model.blocks[0].attention.qkv.weight.grad.get(), 0.0)
    assert np.abs(model.blocks[1].attention.qkv.weight.grad.get()).max() > 0
