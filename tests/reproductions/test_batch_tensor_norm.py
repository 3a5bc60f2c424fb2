"""The norm that takes its mean over a whole batch."""

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.backend import DtypePolicy
from tinygrad_arith.reproductions import BatchTensorNorm
from tinygrad_arith.verify import randomize_parameters

FLOAT64 = DtypePolicy.uniform("float64")


def test_the_norm_over_the_batch_makes_mean_0_and_variance_1_of_all_its_numbers():
    x = np.random.default_rng(1).normal(loc=3.0, scale=[1.0, 5.0, 0.1, 2.0], size=(3, 7, 4))
    y = BatchTensorNorm(4).initialize(policy=FLOAT64)(Tensor(x)).data
    assert abs(y.mean()) < 1e-12
    assert y.var() == pytest.approx(1.0, abs=1e-5)
    assert np.abs(y.mean(axis=-1)).max() > 0.1  # no position by itself


def test_scale_and_shift_are_those_of_each_channel():
    norm = BatchTensorNorm(4).initialize(policy=FLOAT64)
    x = Tensor(np.random.default_rng(1).normal(size=(3, 7, 4)))
    plain = norm(x).data
    randomize_parameters(norm, seed=2)
    expected = plain * norm.weight.data + norm.bias.data
    np.testing.assert_allclose(norm(x).data, expected, rtol=1e-12)


def test_an_example_depends_on_the_others_beside_it():
    norm = BatchTensorNorm(4).initialize(policy=FLOAT64)
    x = np.random.default_rng(1).normal(size=(3, 7, 4))
    before = norm(Tensor(x)).data[0]
    x[2] *= 9.0
    assert (norm(Tensor(x)).data[0] != before).all()
