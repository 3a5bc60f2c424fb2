"""RMSNorm as a module: its parameter, its gradients, its dry pass."""

import numpy as np
import pytest

from tinygrad_arith import nn
from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.backend import DtypePolicy
from tinygrad_arith.models.shape_report import report_shapes
from tinygrad_arith.ops import ArraySpec, ShapeError
from tinygrad_arith.verify import check_module, randomize_parameters

POLICY = DtypePolicy.uniform("float64")


def test_a_new_one_divides_by_the_root_mean_square_and_has_one_parameter_that_does_not_decay():
    layer = nn.RMSNorm(5).initialize(seed=1, policy=POLICY)
    x = np.random.default_rng(0).normal(size=(2, 3, 5))
    y = layer(Tensor(x)).array
    np.testing.assert_allclose((y * y).mean(axis=-1), 1.0, rtol=1e-3)
    np.testing.assert_allclose(y, x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5))
    assert {name: p.decay for name, p in layer.named_parameters().items()} == {"weight": False}


def test_its_gradients():
    layer = nn.RMSNorm(5, eps=0.1).initialize(seed=1, policy=POLICY)
    randomize_parameters(layer)
    x = np.random.default_rng(0).normal(size=(2, 3, 5))
    targets = np.array([[0, 4, 2], [1, 1, 3]])
    report = check_module(lambda module: F.cross_entropy_sum(module(Tensor(x)), targets), layer)
    assert report.passed
    assert [entry.name for entry in report.inputs] == ["weight"]


def test_its_dry_pass():
    layer = nn.RMSNorm(5)
    report = report_shapes(layer, POLICY, Tensor(ArraySpec((2, 3, 5), np.dtype(np.float64))))
    assert report.parameters == 5
    (row,) = report.rows
    assert (row.operation, row.shapes.out.shape) == ("rmsnorm", (2, 3, 5))
    with pytest.raises(ShapeError, match=r"weight must be \(C,\)"):
        report_shapes(layer, POLICY, Tensor(ArraySpec((2, 3, 6), np.dtype(np.float64))))
