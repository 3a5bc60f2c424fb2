"""A write between forward and backward is noticed through every view of the memory, and nothing else is."""

import numpy as np
import pytest

from tinygrad_arith.autograd import BackwardError, InPlaceError, Tensor, no_grad
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.autograd.recompute import recompute
from tinygrad_arith.models import GPT, GPTConfig


@pytest.fixture
def x():
    return Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)


def write_through(view):
    def write(x):
        with no_grad():
            view(x)[...] = 7.0

    return write


SAVED = {
    "itself": lambda x: x * x,
    "reshape": lambda x: (lambda v: v * v)(x.reshape(-1)),
    "transpose": lambda x: (lambda v: v * v)(x.T),
    "slice": lambda x: (lambda v: v * v)(x[0:1]),
    "row": lambda x: (lambda v: v * v)(x[0]),
    "new axis": lambda x: (lambda v: v * v)(x[None]),
    "view of a view": lambda x: (lambda v: v * v)(x.T[0:2].T[:, ::-1]),
    "matmul": lambda x: Tensor(np.ones((3, 2)), requires_grad=True) @ x,
    "detached": lambda x: x.detach() * Tensor(np.ones((2, 3)), requires_grad=True),
    "power": lambda x: (x + 0.0).exp() ** x,
    "in a recomputation": lambda x: recompute(lambda a: a * a, x),
    "as its parameter": lambda x: recompute(lambda a: a * x, Tensor(np.ones(3)), parameters=[x]),
    "in a list of it": lambda x: recompute(lambda both: both[0] * both[1], [x, x]),
}
WRITES = {
    "itself": lambda x: x.__setitem__(0, 7.0),
    "augmented": lambda x: x.__setitem__(0, x.detach()[0] + 1.0),
    "detached": lambda x: x.detach().__setitem__((0, 0), 7.0),
    "tensor of it": lambda x: Tensor(x).__setitem__(0, 7.0),
    "tensor of its array": lambda x: Tensor(x.array).__setitem__(0, 7.0),
    "reshape": write_through(lambda x: x.reshape(-1)),
    "row of the transposed": write_through(lambda x: x.T[0]),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("saved", SAVED)
def test_a_write_through_any_view_is_noticed_by_who_saved_any_other(saved, write, x):
    y = SAVED[saved](x)
    WRITES[write](x)
    with pytest.raises(InPlaceError, match="it was written to since"):
        y.sum().backward()


@pytest.mark.parametrize("view", ["x", "x[None]", "x.T", "x.reshape(-1)", "x[0:1]", "x[..., None, 0]"])
def test_a_write_that_no_backward_minds_raises_no_alarm(view, x):
    y = (eval(view, {"x": x}) + 1.0).sum()
    x[0] = 7.0
    y.backward()
    assert x.grad.max() == 1.0


def test_a_write_before_the_forward_is_none_after_it(x):
    for value in (1.0, 2.0):
        x[0] = value
        x.zero_grad()
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad[0], 2 * value)


def test_parts_of_one_array_do_not_alarm_each_other():
    both = np.ones(6)
    first, second = Tensor(both[:3], requires_grad=True), Tensor(both[3:])
    y = (first * first).sum()
    second[0] = 7.0
    y.backward()
    z = (first * first).sum()
    for position in range(200):  # more writes than are told apart
        second[position % 3] = 1.0
        Tensor(both[3 + position % 3 : 4 + position % 3])[0] = 2.0
    z.backward()
    y = (first * first).sum()
    first[0] = 7.0
    with pytest.raises(InPlaceError):
        y.backward()


def test_the_output_of_an_operation_is_watched_too(x):
    y = x.exp()
    z = y.sum()
    y.detach()[0] = 7.0
    with pytest.raises(InPlaceError, match=r"exp saved an array \(2, 3\)"):
        z.backward()


def test_the_tied_heads_weight_is_a_view_of_the_token_table():
    model = GPT(GPTConfig(vocabulary=7, context=5, d_model=12, heads=3, layers=1, tied_head=True)).initialize(seed=1)
    hidden = Tensor(np.ones((2, 12), np.float32), requires_grad=True)
    y = F.linear(hidden, model.token_embedding.weight.T)
    model.flat.values += 1.0
    model.flat.mark_written()
    with pytest.raises(InPlaceError, match=r"linear saved weight \(12, 7\)"):
        y.backward(np.ones((2, 7)))


def test_an_assignment_to_one_parameter_does_not_alarm_the_others():
    model = GPT(GPTConfig(vocabulary=7, context=5, d_model=12, heads=3, layers=1)).initialize(seed=1)
    logits = model([[1, 2, 3]])
    model.position_embedding.weight[4] = 0.0
    logits.sum().backward()


def test_views_share_a_version():
    base = Tensor(np.ones((2, 3)))
    assert base.version is base.T.version is base.reshape(-1)[1:].version is Tensor(base).version
    assert base.version is not Tensor(base.array.copy()).version


def test_what_is_known_of_memory_goes_with_it():
    from tinygrad_arith.autograd import versions

    before = len(versions._known)
    for _ in range(10):
        Tensor(np.ones(3))[0] = 2.0
    assert len(versions._known) == before


def test_what_waits_for_a_gradient_is_not_written_into_what_does_not(x):
    board = Tensor(np.zeros((2, 3)))
    with pytest.raises(BackwardError, match="a write passes no gradient on"):
        board[0] = x[0]
    board[0] = x[0].detach()
    with no_grad():
        board[1] = x[1]
    np.testing.assert_array_equal(board.array, x.array)
