"""Tensors in the places where people put arrays: loops, comparisons, formats, axes, indices, NumPy's functions."""

import math

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor, no_grad
from tinygrad_arith.autograd import functions as F


@pytest.fixture
def a():
    return np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


@pytest.fixture
def x(a):
    return Tensor(a.copy(), requires_grad=True)


def test_loops_end_and_their_rows_have_gradients(x, a):
    assert len(list(x)) == len([*x]) == len(x) == 2
    first, second = x
    assert [position for position, _ in zip(range(9), x, strict=False)] == [0, 1]
    (first * 2.0 + second).sum().backward()
    np.testing.assert_array_equal(x.grad, [[2.0, 2.0, 2.0], [1.0, 1.0, 1.0]])
    np.testing.assert_array_equal(sum(x).array, a.sum(axis=0))
    assert list(Tensor(np.zeros((0, 3)))) == []
    with pytest.raises(ValueError, match="too many"):
        (_,) = x
    for without_axes in (iter, len, list):
        with pytest.raises(TypeError):
            without_axes(Tensor(1.0))


def test_an_index_out_of_range_is_an_index_error(x):
    for index in (2, -3, (0, 3), [5], "a", 1.5):
        with pytest.raises(IndexError):
            x[index]


COMPARISONS = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


@pytest.mark.parametrize("sign", COMPARISONS)
@pytest.mark.parametrize("other", [2, 2.5, np.float64(2.0), [1.0, 5.0, 3.0], np.array([[3.0], [5.0]])])
def test_comparisons_are_numpys(sign, other, x, a):
    for mine, numpys in (
        (COMPARISONS[sign](x, other), COMPARISONS[sign](a, other)),
        (COMPARISONS[sign](other, x), COMPARISONS[sign](other, a)),
        (COMPARISONS[sign](x, Tensor(other)), COMPARISONS[sign](a, other)),
    ):
        assert isinstance(mine, Tensor)
        assert not mine.requires_grad
        np.testing.assert_array_equal(mine.array, numpys)


def test_comparisons_with_what_a_dtype_cannot_hold():
    bytes_ = Tensor(np.array([0, 255], np.uint8))
    assert not (bytes_ > 300).any()
    assert (bytes_ > -1).all()
    third = Tensor(np.array([0.1], np.float32))
    assert (third == np.float64(0.1)).all()  # a number of NumPy takes float32, as in an operator
    assert (third == None) is False  # noqa: E711
    assert (third == "x") is False


def test_masks_are_put_together_and_chosen_by(x, a):
    mask = (x > 1.0) & ~(x == 5.0) | (x < 0.0)
    expected = (a > 1.0) & ~(a == 5.0)
    np.testing.assert_array_equal(mask.array, expected)
    (x[mask] * (x * mask)[mask]).sum().backward()
    np.testing.assert_array_equal(x.grad, np.where(expected, 2 * a, 0.0))
    assert mask.any(axis=0).tolist() == expected.any(axis=0).tolist()
    assert mask.all(axis=[1], keepdims=True).shape == (2, 1)
    assert 5.0 in x
    assert 7.0 not in x
    for no_number in (None, "a", {}, b"a"):
        assert no_number not in x
        assert (x == no_number) is False


def test_only_one_element_is_true_or_false_or_a_number(x):
    assert Tensor([[2.5]])
    assert not Tensor(0.0)
    assert (float(Tensor([[2.5]])), int(Tensor(2.5)), "abc"[Tensor(1)]) == (2.5, 2, "b")
    with pytest.raises(ValueError, match="neither true nor false"):
        bool(x)
    for convert in (float, int, list("abc").__getitem__):
        with pytest.raises(TypeError):
            convert(x)


def test_formats(x):
    assert f"{Tensor(math.pi):.3f} {Tensor([math.pi]):8.2f} {Tensor(3)}" == "3.142     3.14 3"
    assert f"{x}" == str(x)
    with pytest.raises(TypeError, match="no format"):
        f"{x:.3f}"


def test_tensors_are_keys_by_which_they_are(x):
    twin = Tensor(x)
    assert len({x, twin, x}) == 2
    assert {x: "a", twin: "b"}[x] == "a"


AXES = {
    "one": 0,
    "negative": -1,
    "of NumPy": np.int64(1),
    "a tuple": (0, 1),
    "a mixed tuple": (0, -1),
    "none": (),
    "all": None,
}


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["sum", "mean", "max"])
def test_axes_are_numpys_and_may_be_lists(name, axis, keepdims, x, a):
    axis = AXES[axis]
    expected = getattr(a, name)(axis=axis, keepdims=keepdims)
    lists = [list(axis)] if isinstance(axis, tuple) else []
    for given in (axis, *lists):
        x.zero_grad()
        for y in (getattr(x, name)(given, keepdims), getattr(F, name)(x, axis=given, keepdims=keepdims)):
            np.testing.assert_array_equal(y.array, expected)
            assert y.shape == np.shape(expected)
        y.backward(np.ones(y.shape))
        assert x.grad.shape == a.shape


def test_shapes_and_orders_may_be_given_in_any_form(x, a):
    for shape in ((3, 2), [3, 2], (-1, 2), np.array([3, 2])):
        np.testing.assert_array_equal(x.reshape(shape).array, a.reshape(3, 2))
        np.testing.assert_array_equal(x.reshape(*shape).array, a.reshape(3, 2))
    assert x.reshape(np.int64(6)).shape == F.reshape(x, [6]).shape == x.reshape(-1).shape == (6,)
    assert x[0, :1].reshape().shape == x[0, :1].reshape(()).shape == ()
    b = Tensor(np.arange(24.0).reshape(2, 3, 4), requires_grad=True)
    for axes in ((0, 2, 1), [0, 2, 1], (0, -1, -2)):
        np.testing.assert_array_equal(b.transpose(axes).array, b.array.transpose(0, 2, 1))
        np.testing.assert_array_equal(b.transpose(*axes).array, b.array.transpose(0, 2, 1))
    assert b.transpose().shape == b.transpose(None).shape == b.T.shape == (4, 3, 2)
    for wrong in (lambda: x.reshape(4, 2), lambda: x.reshape(-2, 3), lambda: x.reshape(-1, -1), lambda: x.sum(axis=2)):
        with pytest.raises(ValueError, match=r"reshape|axis"):
            wrong()


INDICES = {
    "a row": 1,
    "from the end": -1,
    "of NumPy": np.int64(1),
    "an element": (1, -1),
    "slices": (slice(None, None, -1), slice(0, 3, 2)),
    "the last axis": (Ellipsis, 0),
    "a new axis": (slice(None), None),
    "a list": [0, 0, 1],
    "two lists": ([0, 1], [2, 2]),
    "an empty list": [],
    "a list of bools": [True, False],
    "a mask": np.array([[True, False, True], [False, False, True]]),
    "an array": np.array([[1, 0], [1, 1]]),
    "an array without axes": np.array(1),
    "a bool": True,
    "a new axis and a list": (None, [0, 1]),
}


@pytest.mark.parametrize("name", INDICES)
def test_indices_are_numpys(name, x, a):
    index = INDICES[name]
    y = x[index]
    np.testing.assert_array_equal(y.array, a[index])
    dy = np.random.default_rng(0).normal(size=y.shape)
    y.backward(dy)
    expected = np.zeros_like(a)
    np.add.at(expected, index if not isinstance(index, list) or index else np.zeros(0, int), dy)
    np.testing.assert_array_equal(x.grad, expected)


def test_tensors_are_indices(x, a):
    np.testing.assert_array_equal(x[Tensor([1, 0])].array, a[[1, 0]])
    np.testing.assert_array_equal(x[Tensor([1, 0]), Tensor([2, 0])].array, a[[1, 0], [2, 0]])
    target = Tensor(a.copy())
    target[target > 2.0] = 0.0
    target[0, Tensor([0])] = Tensor([9.0])
    np.testing.assert_array_equal(target.array, [[9.0, 2.0, 0.0], [0.0, 0.0, 0.0]])


def test_numpy_sees_the_values(x, a):
    seen = np.asarray(x)
    np.testing.assert_array_equal(seen, a)
    assert not seen.flags.writeable
    assert np.array(x, dtype=np.float32).dtype == np.float32
    assert np.array(x).flags.writeable
    assert x.tolist() == a.tolist()
    assert np.shape(x) == (2, 3)
    assert np.allclose(x, a)
    np.testing.assert_array_equal(np.zeros_like(x), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="without a copy"):
        np.array(x, dtype=np.float32, copy=False)


def test_functions_of_numpy_pass_gradients_on_or_say_that_they_do_not(x, a):
    np.concatenate([x, np.stack([x[0], np.where(a[1] > 4.0, x[1], 0.0)])]).sum().backward()
    np.testing.assert_array_equal(x.grad, [[2.0, 2.0, 2.0], [1.0, 2.0, 2.0]])
    assert isinstance(np.sum(x, axis=0), Tensor)
    assert isinstance(np.mean(x, axis=0, keepdims=True), Tensor)
    assert isinstance(np.transpose(x), Tensor)
    with pytest.raises(TypeError, match=r"numpy\.cumsum would lose the gradient"):
        np.cumsum(x)
    with no_grad():
        np.testing.assert_array_equal(np.cumsum(x), np.cumsum(a))
    np.testing.assert_array_equal(np.cumsum(x.detach()), np.cumsum(a))
    with pytest.raises(TypeError, match="ufunc"):
        np.add(x, 1.0)


def test_what_would_lose_a_gradient_is_refused(x):
    for lost in (lambda: Tensor([x[0], x[1]]), lambda: x[0] + [x[0, 0], 1.0, 2.0], lambda: x @ [[x[0, 0]], [1], [2]]):
        with pytest.raises(TypeError, match="a list of tensors"):
            lost()
    scale = Tensor(1.0, requires_grad=True)
    heads = x.reshape(1, 2, 1, 3)
    with pytest.raises(TypeError, match="attention passes no gradient on to scale"):
        F.attention(heads, heads, heads, scale=scale)
    with pytest.raises(TypeError, match="where passes no gradient on to condition"):
        F.where(x, 1.0, 2.0)
    assert F.attention(heads, heads, heads, scale=scale.detach()).shape == heads.shape


def test_lists_and_numbers_are_joined_too(x, a):
    single = Tensor(a.astype(np.float32), requires_grad=True)
    joined = F.concatenate([single, [[7.0, 8.0, 9.0]]])
    assert (joined.dtype, joined.shape) == (np.float32, (3, 3))
    assert F.concatenate([single, [1.0]], axis=None).shape == (7,)
    assert F.stack([single.sum(), 0.0, np.float64(1.0)]).dtype == np.float32
    assert F.stack(iter(x), axis=-1).shape == (3, 2)
    assert F.where([True, False, True], single, 0.0).dtype == np.float32
    np.testing.assert_array_equal(F.where([2, 0, 0.5], x, [7, 8, 9]).array, np.where([2, 0, 0.5], a, [7, 8, 9]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x: F.stack([]), "stack: there must be at least one array"),
        (lambda x: F.concatenate([]), "concatenate: there must be at least one array"),
        (lambda x: F.stack([x, x[0]]), r"stack: the shapes must be the same; got \(2, 3\), \(3,\)"),
        (lambda x: F.stack([x, x], axis=3), "stack: there is no axis 3"),
        (lambda x: F.concatenate([x, x[:, :2]]), r"concatenate: the shapes must differ along axis 0 only"),
        (lambda x: F.concatenate([x, x[0]]), r"concatenate: the shapes must differ along axis 0 only"),
        (lambda x: F.concatenate([x.sum()]), "concatenate: there is no axis 0"),
        (lambda x: F.where([True, False], x, 0.0), r"where: the shapes do not broadcast; got condition \(2,\)"),
        (lambda x: F.softmax(x, axis=2), "axis 2 does not exist"),
    ],
)
def test_shapes_that_cannot_be_joined_are_told(wrong, message, x):
    with pytest.raises(ValueError, match=message):
        wrong(x)


def test_powers_of_tensors(x, a):
    exponent = Tensor(np.array([2.0, 0.5, -1.0]), requires_grad=True)
    (x**exponent).sum().backward()
    np.testing.assert_allclose(x.grad, exponent.array * a ** (exponent.array - 1))
    np.testing.assert_allclose(exponent.grad, (a**exponent.array * np.log(a)).sum(axis=0))
    only = Tensor(2.0, requires_grad=True)
    (2.0**only).backward()
    np.testing.assert_allclose(only.grad, 4.0 * np.log(2.0))
    y = F.power(x, [2, 3, 1])
    np.testing.assert_array_equal(y.array, a ** np.array([2, 3, 1]))


@pytest.mark.parametrize("exponent", [0, 0.0, np.float64(0), Tensor(0.0), [0.0, 0.0, 0.0]])
def test_a_power_of_0_is_flat_everywhere(exponent):
    x = Tensor(np.array([0.0, -0.0, 3.0]), requires_grad=True)
    (x**exponent).sum().backward()
    np.testing.assert_array_equal(x.grad, np.zeros(3))
