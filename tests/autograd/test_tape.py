"""The tape: accumulation, order, freed caches, clear errors, threads."""

import gc
import threading
import weakref

import numpy as np
import pytest

from tinygrad_arith.autograd import BackwardError, InPlaceError, Tensor, differentiable, no_grad
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.autograd.recompute import recompute
from tinygrad_arith.ops import ShapeError


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def leaf(rng, *shape):
    return Tensor(rng.normal(size=shape), requires_grad=True)


def test_a_tensor_used_twice_gets_the_sum_of_both_gradients(rng):
    x, dy = leaf(rng, 2, 3), rng.normal(size=(2, 3))
    (x * x + x).backward(dy)
    np.testing.assert_allclose(x.grad, dy * (2 * x.data + 1))


def test_an_intermediate_used_twice_is_walked_once_with_the_sum(rng):
    calls = []

    def square_forward(x):
        return x * x, x

    def square_backward(dy, cache):
        calls.append(dy.copy())
        return 2 * cache * dy

    square = differentiable(square_forward, square_backward)
    x, dy = leaf(rng, 3), rng.normal(size=3)
    y = square(x)
    (y * 2.0 + y).backward(dy)
    assert len(calls) == 1
    np.testing.assert_allclose(x.grad, 3 * dy * 2 * x.data)


def test_gradients_accumulate_over_walks_until_zeroed(rng):
    x = leaf(rng, 4)
    x.sum().backward()
    x.sum().backward()
    np.testing.assert_array_equal(x.grad, np.full(4, 2.0))
    x.zero_grad()
    assert x.grad is None


def test_two_inputs_handed_the_same_gradient_array_do_not_share_it(rng):
    a, b, dy = leaf(rng, 3), leaf(rng, 3), rng.normal(size=3)
    (a + b).backward(dy)
    a.grad += 1.0
    np.testing.assert_array_equal(b.grad, dy)


def test_the_callers_cotangent_is_not_written_to(rng):
    x, dy = leaf(rng, 3), rng.normal(size=3)
    before = dy.copy()
    (x + x * 2.0 + x).backward(dy)
    np.testing.assert_array_equal(dy, before)


def test_a_long_chain_needs_no_recursion(rng):
    x = leaf(rng, 2)
    y = x
    for _ in range(5000):
        y = y + x
    y.backward(np.array([1.0, -2.0]))
    np.testing.assert_allclose(x.grad, [5001.0, -10002.0])


def test_a_second_backward_is_an_error_that_names_the_operation(rng):
    y = F.tanh(leaf(rng, 3))
    y.backward(rng.normal(size=3))
    with pytest.raises(BackwardError, match="tanh: its backward has already run"):
        y.backward(rng.normal(size=3))


def test_a_backward_through_freed_parts_is_an_error_too(rng):
    x = leaf(rng, 3)
    shared = x.exp()
    (shared * 2.0).sum().backward()
    with pytest.raises(BackwardError, match="exp: its backward has already run"):
        (shared * 3.0).sum().backward()


def test_backward_from_many_elements_needs_a_cotangent(rng):
    with pytest.raises(BackwardError, match=r"shape \(2, 3\), not one element"):
        leaf(rng, 2, 3).exp().backward()


def test_a_cotangent_of_another_shape_is_refused(rng):
    with pytest.raises(BackwardError, match=r"dy \(3, 2\) does not have the tensor's shape \(2, 3\)"):
        leaf(rng, 2, 3).exp().backward(np.ones((3, 2)))


def test_backward_where_nothing_was_recorded_says_why(rng):
    with pytest.raises(BackwardError, match="nothing was recorded"):
        Tensor(rng.normal(size=3)).sum().backward()


def test_writing_through_the_tensor_to_a_saved_array_is_noticed(rng):
    x = leaf(rng, 2, 3)
    y = (x * x).sum()
    x[0] = 0.0
    with pytest.raises(InPlaceError, match=r"multiply saved a \(2, 3\) for its backward, and it was written to"):
        y.backward()


def test_writing_to_an_array_that_no_backward_needs_is_allowed(rng):
    x = leaf(rng, 2, 3)
    y = (x + 1.0).sum()  # addition saves only shapes
    x[0] = 0.0
    y.backward()
    np.testing.assert_array_equal(x.grad, np.ones((2, 3)))


def test_data_is_read_only(rng):
    x = leaf(rng, 3)
    with pytest.raises(ValueError, match="read-only"):
        x.data[0] = 1.0


def test_writing_into_a_computed_tensor_is_refused(rng):
    y = leaf(rng, 3).exp()
    with pytest.raises(BackwardError, match="exp's output cannot be written to"):
        y[0] = 1.0


def test_shapes_that_do_not_fit_name_the_operation_and_both(rng):
    with pytest.raises(ShapeError, match=r"linear: .*x \(2, 3\), weight \(4, 5\)"):
        F.linear(leaf(rng, 2, 3), leaf(rng, 4, 5))
    with pytest.raises(ShapeError, match=r"add: .*a \(2, 3\), b \(4,\)"):
        leaf(rng, 2, 3) + leaf(rng, 4)
    with pytest.raises(ShapeError, match=r"matmul: .*a \(2, 3\), b \(2, 3\)"):
        leaf(rng, 2, 3) @ leaf(rng, 2, 3)


def test_a_backward_of_the_students_own_with_a_misshaped_gradient_is_named(rng):
    double = differentiable(lambda x: (2 * x, None), lambda dy, cache: 2 * dy.T, name="double")
    y = double(leaf(rng, 2, 3))
    with pytest.raises(BackwardError, match=r"double: the backward returned dx \(3, 2\) for x \(2, 3\)"):
        y.backward(rng.normal(size=(2, 3)))


def test_a_backward_with_the_wrong_number_of_gradients_is_named(rng):
    double = differentiable(lambda x: (2 * x, None), lambda dy, cache: (2 * dy, dy), name="double")
    with pytest.raises(BackwardError, match="double: the backward returned 2 gradients for 1 inputs"):
        double(leaf(rng, 2)).backward(rng.normal(size=2))


def test_no_grad_records_nothing_and_ends_with_its_block(rng):
    x = leaf(rng, 3)
    with no_grad():
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad


def test_no_grad_holds_for_its_own_thread_only(rng):
    x, seen = leaf(rng, 3), []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2.0).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_caches_are_freed_as_the_walk_passes(rng):
    saved = []

    def keep_forward(x):
        kept = x.copy()
        saved.append(weakref.ref(kept))
        return x + 0.0, (kept,)

    keep = differentiable(keep_forward, lambda dy, cache: dy * 1.0, name="keep")
    y = keep(leaf(rng, 3))
    assert saved[0]() is not None
    y.backward(rng.normal(size=3))
    gc.collect()
    assert saved[0]() is None


def test_on_ready_tells_of_each_leaf_once_when_its_gradient_is_complete(rng):
    early, late = leaf(rng, 3), leaf(rng, 3)
    events = []
    y = ((early.exp() * late) * late).sum()
    y.backward(on_ready=lambda tensor: events.append((tensor is late, tensor.grad.copy())))
    assert [is_late for is_late, _ in events] == [True, False]
    np.testing.assert_array_equal(events[0][1], late.grad)


def test_retain_grad_keeps_the_gradient_of_a_computed_tensor(rng):
    x, dy = leaf(rng, 3), rng.normal(size=3)
    y = x.exp()
    y.retain_grad()
    (y * 3.0).backward(dy)
    np.testing.assert_allclose(y.grad, 3 * dy)


def test_only_inputs_that_want_a_gradient_get_one(rng):
    x, constant = leaf(rng, 3), Tensor(rng.normal(size=3))
    (x * constant).sum().backward()
    assert constant.grad is None
    np.testing.assert_array_equal(x.grad, constant.data)


def test_integers_cannot_ask_for_a_gradient():
    with pytest.raises(TypeError, match="floating dtype"):
        Tensor([1, 2], requires_grad=True)


def product_into(calls):
    """x * w, whose backward puts dw where the tape offers a place."""

    def forward(x, w):
        return x * w, (x, w)

    def backward(dy, cache, *, needs, into=None, owned=False):
        x, w = cache
        calls.append(into)
        if into is None or into[1] is None:
            return dy * w, dy * x
        array, add = into[1]
        array[...] = dy * x + (array if add else 0.0)
        return dy * w, array

    return forward, backward


def run_with_destination(monkeypatch, x, w):
    from tinygrad_arith.ops import registry

    calls = []
    forward, backward = product_into(calls)
    product = differentiable(forward, lambda dy, cache: (dy * cache[1], dy * cache[0]), name="into_product")
    fast = registry.Implementation("into_product", "test", "cpu", (np.dtype(np.float64),), forward, backward)
    monkeypatch.setitem(registry._registered, "into_product", [fast])
    with registry.reference_only(False):
        product(x, w).backward(np.full(x.shape, 2.0))
    return calls


def test_a_backward_may_put_a_leafs_gradient_where_it_goes(monkeypatch, rng):
    x, w = (Tensor(rng.normal(size=(2, 3)), requires_grad=True) for _ in range(2))
    assert run_with_destination(monkeypatch, x, w) == [[None, None]]  # no gradient is there yet to add to
    held = w.grad
    calls = run_with_destination(monkeypatch, x, w)
    assert calls[0][1].array is held
    assert calls[0][1].add
    np.testing.assert_allclose(w.grad, 4.0 * x.array)
    np.testing.assert_allclose(x.grad, 4.0 * w.array)


def test_a_leaf_used_twice_in_one_operation_gets_no_destination(monkeypatch, rng):
    x = Tensor(rng.normal(size=(2, 3)), requires_grad=True)
    x.grad = np.ones((2, 3))
    assert run_with_destination(monkeypatch, x, x) == [[None, None]]
    np.testing.assert_allclose(x.grad, 1.0 + 4.0 * x.array)


def test_shapes_are_checked_again_after_a_call_that_fitted(rng):
    x, w = Tensor(rng.normal(size=(2, 3))), rng.normal(size=(3, 4))
    for _ in range(2):
        assert F.linear(x, w).shape == (2, 4)
        with pytest.raises(ShapeError, match="linear"):
            F.linear(x, w.T)


def test_on_ready_tells_of_a_leaf_that_is_the_root_itself(rng):
    x, dy, ready = leaf(rng, 3), rng.normal(size=3), []
    x.backward(dy, on_ready=ready.append)
    assert ready == [x]
    np.testing.assert_array_equal(x.grad, dy)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("of", ["weight", "bias", "x"])
def test_a_cotangent_that_is_a_gradient_may_be_written_to_by_the_walk(of, dtype, rng):
    arrays = {"x": rng.normal(size=(4, 4)), "weight": rng.normal(size=(4, 4)), "bias": rng.normal(size=4)}
    found = []
    for copied in (True, False):
        x, weight, bias = leaves = [Tensor(array.astype(dtype), requires_grad=True) for array in arrays.values()]
        for tensor in leaves:
            tensor.grad = np.ones(tensor.shape, dtype)
        own = dict(zip(arrays, leaves, strict=True))[of].grad
        if of == "bias":
            F.linear(x[:1], weight, bias).reshape(4).backward(own.copy() if copied else own)
        else:
            F.linear(x, weight, bias).backward(own.copy() if copied else own)
        found.append([tensor.grad for tensor in leaves])
    for mine, expected in zip(*found, strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_a_gradient_that_was_an_input_is_not_written_to_before_it_is_read(rng):
    found = []
    for copied in (True, False):
        weight = Tensor(np.eye(300, dtype=np.float32), requires_grad=True)
        weight.grad = np.arange(90_000, dtype=np.float32).reshape(300, 300) / 90_000
        given = weight.grad.copy() if copied else weight.grad
        F.linear(Tensor(given), weight).backward(np.ones((300, 300)))
        found.append(weight.grad)
    np.testing.assert_allclose(*found, rtol=1e-5)


@pytest.mark.parametrize("kind", ["array", "tuple", "list", "mask", "tensor", "embedding", "where", "recompute"])
def test_a_backward_uses_the_indices_of_its_forward(kind, rng):
    x, ids = leaf(rng, 4, 3), np.array([3, 0, 3])
    mask = np.array([True, False, False, True])
    listed = [3, 0, 3]
    calls = {
        "array": lambda: x[ids],
        "tuple": lambda: x[ids, :2],
        "list": lambda: x[listed],
        "mask": lambda: x[mask],
        "tensor": lambda: x[Tensor(ids)],
        "embedding": lambda: F.embedding(ids, x),
        "where": lambda: F.where(mask[:, None], x, 0.0),
        "recompute": lambda: recompute(F.embedding, ids, x),
    }
    expected = calls[kind]()
    expected.backward(np.ones(expected.shape))
    expected, x.grad = x.grad, None
    y = calls[kind]()
    ids[:], mask[:], listed[:] = 1, [False, True, True, False], [1, 1, 1]
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(x.grad, expected)


def test_masks_are_those_of_the_forward(rng):
    q, key_mask = leaf(rng, 1, 3, 1, 2), np.array([[True, False, True]])
    gradients = []
    for late in (False, True):
        q.grad = None
        y = F.attention_blockwise(q, q, q, causal=False, key_mask=key_mask, block=2)
        if late:
            key_mask[:] = [[False, True, False]]
        y.backward(np.ones(y.shape))
        gradients.append(q.grad)
    np.testing.assert_array_equal(*gradients)
