"""What is called wrongly is answered by one sentence in the words of the caller."""

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor, differentiable
from tinygrad_arith.autograd import functions as F


@pytest.fixture
def x():
    return Tensor(np.array([1.0, 2.0, 3.0, 4.0]), requires_grad=True)


NONE = {
    "b": lambda x: x + None,
    "a": lambda x: None - x,
    "b of a product": lambda x: x @ None,
    "b of a power": lambda x: x**None,
    "x": lambda x: F.linear(None, np.ones((2, 2))),
    "array 1": lambda x: F.concatenate([x, None]),
    "x of all in a row": lambda x: F.concatenate([x, None], axis=None),
    "array 0": lambda x: F.stack([None, None]),
    "targets": lambda x: F.cross_entropy(x.reshape(1, 4), None),
    "ids": lambda x: F.embedding(None, x.reshape(2, 2)),
    "condition": lambda x: F.where(None, x, 0.0),
    "bias": lambda x: F.layernorm(x, x, None),
}


@pytest.mark.parametrize("which", NONE)
def test_none_is_no_array(which, x):
    with pytest.raises(
        TypeError, match=rf"^\w+: {which.split(' of')[0]} is None, where an array or a number is needed"
    ):
        NONE[which](x)


MISUSES = {
    "where needs a and b too: it takes condition, a, b": lambda x: F.where(x > 1.0),
    "where needs a and b too": lambda x: np.where(x > 1.0),
    "softmax has no dim: here it is axis": lambda x: F.softmax(x, dim=-1),
    "sum has no keepdim: here it is keepdims": lambda x: F.sum(x, keepdim=True),
    "softmax has no axsi: it takes x, axis": lambda x: F.softmax(x, axsi=-1),
    "softmax needs x too: it takes x, axis": lambda x: F.softmax(),
    r"concatenate takes the tensors in one list: concatenate\(\[a, b\]\)": lambda x: F.concatenate(x, x),
    "stack takes the tensors in one list": lambda x: F.stack(x, x),
    "concatenate takes the tensors in one": lambda x: F.concatenate(3.0),
    "stack: axis is None, but the new axis needs a place": lambda x: F.stack([x, x], axis=None),
    r"stack: axis must be a whole number, or several; not 1\.0": lambda x: F.stack([x, x], axis=1.0),
    r"sum: axis must be a whole number, or several; not 0\.0": lambda x: x.sum(axis=0.0),
    r"max: axis must be a whole number, or several; not 0\.5": lambda x: x.max(axis=(0, 0.5)),
    r"mean: axis must be a whole number, or several; not 0\.0": lambda x: x.mean(axis=np.array([0.0])),
    r"reshape: shape must be a whole number, or several; not 2\.0": lambda x: x.reshape(2.0, 2),
    r"transpose: axes must be a whole number": lambda x: x.transpose(0.0),
    r"a tensor has no abs; F\.where": abs,
    r"beside a tensor of float64: it is no number": lambda x: x + {},
}


@pytest.mark.parametrize("message", MISUSES)
def test_an_operation_says_what_it_takes(message, x):
    with pytest.raises(TypeError, match=message):
        MISUSES[message](x)


def test_shapes_that_cannot_be_compared_are_told(x):
    with pytest.raises(ValueError, match=r"a comparison of \(4,\) with \(0,\): they do not broadcast"):
        x == []  # noqa: B015


def test_axes_may_be_arrays(x):
    x = x.reshape(2, 2)
    for axis in (np.array([0, 1]), [np.int64(0), 1], (0, np.array(1))):
        assert x.sum(axis=axis).item() == F.sum(x, axis).item() == 10.0
        assert x.transpose(axis).shape == (2, 2)
    assert x.sum(axis=np.array([0])).tolist() == [4.0, 6.0]
    assert x.sum(axis=np.array([1])).tolist() == [3.0, 7.0]
    assert x.transpose(np.array([1, 0])).tolist() == x.T.tolist()


ELSEWHERE = {
    "view": r"a tensor has no view; x\.reshape does it",
    "var": r"a tensor has no var; .*mean\(\) does it",
    "clip": r"a tensor has no clip; F\.where",
    "what": r"a tensor has no what$",
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_methods_of_other_libraries_lead_to_ours(name, x):
    assert not hasattr(x, name)
    with pytest.raises(AttributeError, match=ELSEWHERE[name]):
        getattr(x, name)


def test_functions_of_other_libraries_lead_to_ours():
    told = {
        "cat": "there is no function cat here; concatenate does it",
        "sigmoid": r"there is no function sigmoid here; 0\.5 \* \(1 \+ tanh",
        "rmsnrom": r"there is no function rmsnrom here; did you mean rmsnorm\?",
        "xyz": "there is no function xyz here$",
    }
    for name, message in told.items():
        with pytest.raises(AttributeError, match=message):
            getattr(F, name)


def test_what_is_said_to_do_it_does_it():
    from tinygrad_arith.autograd.names_elsewhere import FUNCTIONS, METHODS

    x = Tensor(np.array([[-1.0, 2.0], [0.5, -3.0]]), requires_grad=True)
    names = {"x": x, "F": F, "a": x, "b": -x, "y": x, "low": -0.5, "high": 1.0, "dtype": np.float32, "axis": 0}
    names |= {"Tensor": Tensor, "exponent": 2, "where": F.where, "tanh": F.tanh, "max": F.max}
    sentences = [ours for ours in (*FUNCTIONS.values(), *METHODS.values()) if "(" in ours or "@" in ours]
    for ours in sentences:
        assert eval(ours.split(", which")[0], dict(names)) is not None, ours
    words = [ours for ours in FUNCTIONS.values() if ours.isidentifier()]
    assert all(hasattr(F, ours) for ours in words)
    np.testing.assert_allclose(eval(FUNCTIONS["sigmoid"], dict(names)).array, 1.0 / (1.0 + np.exp(-x.array)))


def test_an_operation_of_ones_own_is_called_as_its_forward_is():
    double = differentiable(lambda x, times=2: (x * times, times), lambda dy, times: dy * times, name="double")
    with pytest.raises(TypeError, match="unexpected keyword"):
        double(Tensor([1.0]), time=3)
