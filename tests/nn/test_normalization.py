"""Norms by name."""

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.nn import Block, LayerNorm, RMSNorm, make_norm


def test_norms_by_name():
    assert type(make_norm("layernorm", 4)) is LayerNorm
    assert type(make_norm("rmsnorm", 4)) is RMSNorm
    x = Tensor(np.arange(4.0))
    assert make_norm("none", 4)(x) is x
    assert make_norm("none", 4).parameter_count() == 0


def test_an_unknown_norm_is_told_with_those_there_are():
    with pytest.raises(ValueError, match=r"^no normalization 'batchnorm': it must be one of layernorm, rmsnorm, none"):
        make_norm("batchnorm", 4)


@pytest.mark.parametrize(("name", "count"), [("layernorm", 2 * 2 * 12), ("rmsnorm", 2 * 12), ("none", 0)])
def test_a_block_has_the_parameters_of_its_norms(name, count):
    without = Block(12, heads=3, hidden=20, normalization="none").parameter_count()
    assert Block(12, heads=3, hidden=20, normalization=name).parameter_count() - without == count
