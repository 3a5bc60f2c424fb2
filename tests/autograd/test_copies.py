"""Copies of tensors: a leaf's is a leaf of its own; what was computed is not copied with its history."""

import copy
import pickle

import numpy as np
import pytest

from tinygrad_arith.autograd import BackwardError, Tensor


@pytest.fixture
def x():
    return Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)


@pytest.mark.parametrize("how", [copy.deepcopy, pickle.dumps, lambda y: copy.deepcopy({"last": [y]})])
def test_what_was_computed_is_not_copied_with_its_history(how, x):
    with pytest.raises(BackwardError, match=r"multiply's output cannot be copied or pickled.*copy its detach\(\)"):
        how(x * 2.0)
    how((x * 2.0).detach())


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_of_a_leaf_has_a_gradient_of_its_own(how, x):
    (x * 1.0).sum().backward()
    twin = how(x)
    assert twin.requires_grad
    twin.backward(np.ones(3))
    np.testing.assert_array_equal(x.grad, np.ones(3))
    np.testing.assert_array_equal(twin.grad, 2.0 * np.ones(3))
    assert np.shares_memory(twin.array, x.array) == (how is copy.copy)


def test_a_shallow_copy_of_what_was_computed_has_the_same_history(x):
    copy.copy(x * 2.0).sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 2.0, 2.0])
