"""Objectives: next-token cross-entropy, and another one through the same workers."""

from dataclasses import dataclass

import numpy as np
import pytest

from tinygrad_arith.autograd import functions as F
from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.objectives import NEXT_TOKEN, Batch, Loss
from tinygrad_arith.training.workers import ThreadWorkers

KEY = RandomKey(1, "dropout")


def model_of():
    config = GPTConfig(vocabulary=7, context=5, d_model=12, layers=1, heads=3)
    return GPT(config).initialize(seed=1, policy=DtypePolicy.uniform("float64"))


def batch_of(weights=None):
    rng = np.random.default_rng(2)
    return Batch(rng.integers(0, 7, (4, 5)), rng.integers(-1, 7, (4, 5)), weights)


@pytest.mark.parametrize("weights", [None, np.random.default_rng(3).uniform(size=(4, 5))])
def test_next_tokens_lose_the_logarithms_of_their_probabilities(weights):
    model, batch = model_of(), batch_of(weights)
    loss = NEXT_TOKEN.loss(model, batch)
    logits = loss.outputs.data
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))  # (B, T, V)
    counted = batch.targets != -1
    chosen = np.take_along_axis(logs, np.maximum(batch.targets, 0)[..., None], axis=-1)[..., 0]  # (B, T)
    expected = -(chosen * counted * (1.0 if weights is None else weights)).sum()
    assert loss.total.item() == pytest.approx(expected, rel=1e-12)
    assert NEXT_TOKEN.count(batch) == counted.sum()


@dataclass(frozen=True)
class Squares:
    """The squares of the logits: an objective that asks for no targets."""

    def loss(self, model, batch, key=None):
        logits = model(batch.tokens, dropout_key=key)
        return Loss(F.sum(logits * logits), logits)

    def count(self, batch):
        return batch.tokens.size


def test_workers_take_any_objective():
    batch, found = batch_of(), []
    for count in (1, 3):
        model = model_of()
        workers = ThreadWorkers(model, count, Squares())
        loss, terms = workers.forward_backward(batch, KEY)
        workers.close()
        assert terms == 20
        assert loss == pytest.approx((model(batch.tokens).data ** 2).sum() / 20, rel=1e-12)
        found.append(model.flat.gradients.copy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9, atol=1e-12)
    assert np.abs(found[0]).max() > 0
