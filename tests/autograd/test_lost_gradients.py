"""Where a tensor would become a plain array and its gradient be lost, that is refused, in one sentence."""

import numpy as np
import pytest

from tinygrad_arith.autograd import BackwardError, Tensor, no_grad
from tinygrad_arith.autograd import functions as F


@pytest.fixture
def x():
    return Tensor(np.array([1.0, 2.0, 3.0, 4.0]), requires_grad=True) * 2.0


LOSING = {
    "split": lambda x: np.split(x, 2),
    "array_split": lambda x: np.array_split(x, 2),
    "hsplit": lambda x: np.hsplit(x, 2),
    "broadcast_arrays": lambda x: np.broadcast_arrays(x, np.ones(4)),
    "meshgrid": lambda x: np.meshgrid(x, x),
    "gradient": lambda x: np.gradient(x.reshape(2, 2)),
    "atleast_1d": lambda x: np.atleast_1d(x, x),
    "full_like": lambda x: np.full_like(np.zeros(2), x[0]),
    "full_like of a tensor": lambda x: np.full_like(x, x[0]),
    "copyto": lambda x: np.copyto(np.zeros(4), x),
    "put": lambda x: np.put(np.zeros(4), [0], x[:1]),
    "linalg.svd": lambda x: np.linalg.svd(x.reshape(2, 2)),
    "fft.fft": lambda x: np.fft.fft(x),
    "linalg.norm": lambda x: np.linalg.norm(x),
    "unique": lambda x: np.unique(x, return_counts=True),
}


@pytest.mark.parametrize("name", LOSING)
def test_numpys_functions_hand_out_no_values_that_have_lost_their_gradient(name, x):
    with pytest.raises(TypeError, match=r"numpy\.[\w.]+ would lose the gradient of a tensor: give it tensor.numpy"):
        LOSING[name](x)
    LOSING[name](x.detach())
    with no_grad():
        LOSING[name](x)


def test_what_has_no_gradient_is_handed_out(x):
    assert np.argmax(x) == 3
    assert np.shape(x) == (4,)
    assert np.nonzero(x > 4.0)[0].tolist() == [2, 3]
    assert np.full_like(a=x, fill_value=3.0).tolist() == [3.0] * 4
    assert np.array2string(x) == "[2. 4. 6. 8.]"


def test_arguments_may_be_given_under_numpys_names_and_in_its_order(x):
    assert np.sum(a=x).item() == 20.0
    assert np.sum(x, 0, None, None, True).shape == (1,)
    assert np.max(x, 0, None, True).shape == (1,)
    assert np.reshape(x, (2, 2), order="C").requires_grad
    assert np.concatenate((x, x), axis=0, dtype=None).shape == (8,)
    refused = {
        "numpy.sum of a tensor has no dtype: it takes a, axis, keepdims": lambda: np.sum(x, dtype=np.float32),
        "numpy.reshape of a tensor has no order: it takes a, shape": lambda: np.reshape(x, (2, 2), order="F"),
        "numpy.mean of a tensor has no where": lambda: np.mean(x, where=np.ones(4, bool)),
        "numpy.stack of a tensor has no out": lambda: np.stack([x, x], out=np.zeros((2, 4))),
    }
    for message, call in refused.items():
        with pytest.raises(TypeError, match=message):
            call()


def test_no_write_loses_the_gradient_of_what_is_written(x):
    plain, leaf = Tensor(np.zeros(4)), Tensor(np.zeros(4), requires_grad=True)
    for board in (plain, leaf):
        with pytest.raises(BackwardError, match=r"a write passes no gradient on .* detach\(\), or under no_grad"):
            board[0] = x[1]
        for several in ([x[0], x[1]], (x[0], 1.0), [[x[0]], [1.0]]):
            with pytest.raises(TypeError, match="a list of tensors is no array"):
                board[0:2] = several
    with pytest.raises(BackwardError, match="a write passes no gradient on"):
        leaf[0] += x[0]
    with no_grad():
        leaf[0] += x[0]
    leaf[1] = x[1].detach()
    np.testing.assert_array_equal(leaf.array, [2.0, 4.0, 0.0, 0.0])
    assert plain.tolist() == [0.0] * 4


def test_options_take_no_list_of_tensors_that_wait_for_a_gradient(x):
    logits = Tensor(np.zeros((2, 3)), requires_grad=True)
    with pytest.raises(TypeError, match="cross_entropy_sum passes no gradient on to weights"):
        F.cross_entropy_sum(logits, [0, 1], weights=[x[0], x[1]])
    with pytest.raises(TypeError, match="where passes no gradient on to condition"):
        F.where([x[0], x[1]], 1.0, logits[:, :2])
    with no_grad():
        assert F.where([x[0], x[1]], 1.0, logits[:, :2]).shape == (2, 2)
