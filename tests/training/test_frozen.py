"""Frozen parameters and models without gradients, where batches are shared by workers."""

import numpy as np
import pytest

from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import Linear, ParameterError
from tinygrad_arith.objectives import Batch
from tinygrad_arith.optim import AdamW
from tinygrad_arith.training.steps import start_workers
from tinygrad_arith.verify import check_module

CONFIG = GPTConfig(vocabulary=11, context=9, d_model=12, heads=3, ffn=20, layers=2)
KEY = RandomKey(1, "dropout")


def batch():
    rng = np.random.default_rng(2)
    return Batch(*rng.integers(0, 11, size=(2, 6, 9)))


def frozen_gpt():
    model = GPT(CONFIG).initialize(3)
    model.blocks[0].freeze()
    model.head.bias.frozen = True
    return model


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_workers_share_a_batch_of_a_model_that_is_frozen_in_part(kind):
    whole, model = GPT(CONFIG).initialize(3), frozen_gpt()
    found = []
    for each, workers_kind in ((whole, "threads"), (model, kind)):  # either kind computes the same bits
        workers = start_workers(each, 2, workers_kind)
        try:
            workers.forward_backward(batch(), KEY)
            found.append({n: None if p.grad is None else p.grad.copy() for n, p in each.named_parameters().items()})
            if each is model:
                before = each.state_dict()
                AdamW(each.flat, weight_decay=0.3).step(0.1)
                after = each.state_dict()
        finally:
            workers.close()
    for name, gradient in found[0].items():
        frozen = name.startswith("blocks.0.") or name == "head.bias"
        assert (found[1][name] is None) == frozen
        assert np.array_equal(before[name], after[name]) == frozen
        if not frozen:
            np.testing.assert_array_equal(found[1][name], gradient)


def test_a_model_without_gradients_is_told():
    model = GPT(CONFIG).allocate(gradients=False)
    with pytest.raises(ParameterError, match="these parameters have no gradients"):
        start_workers(model, 2, "threads").forward_backward(batch(), KEY)


def test_a_frozen_model_costs_less_memory_to_train():
    whole, model = GPT(CONFIG), GPT(CONFIG)
    model.blocks[0].freeze()
    reports = [each.shape_report(2, 9) for each in (whole, model)]
    frozen = model.blocks[0].parameter_count()
    assert reports[0].parameter_bytes == reports[1].parameter_bytes
    assert reports[0].training_bytes - reports[1].training_bytes == frozen * 3 * 4


def test_the_checker_leaves_frozen_parameters_out():
    layer = Linear(3, 5).initialize(1, DtypePolicy.uniform("float64"))
    layer.bias.frozen = True
    x = np.random.default_rng(0).normal(size=(2, 3))
    report = check_module(lambda module: (module(x) * module(x)).sum(), layer)
    assert [entry.name for entry in report.inputs] == ["weight"]
