"""Tensors on the GPU: the new operations, plain numbers and lists, writes through views, indices that change."""

import cupy
import numpy as np
import pytest

from tinygrad_arith.autograd import InPlaceError, Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.backend import RandomKey, to_numpy


def leaf(dtype="float32"):
    return Tensor(cupy.arange(1, 7, dtype=dtype).reshape(2, 3), requires_grad=True)


EXPRESSIONS = {
    "numbers": lambda x: 2 * x / np.sqrt(3) - 0.5 + x**2 + x ** np.float64(0.5),
    "lists": lambda x: x * [0.5, 1.5, 2.5] + [[1], [2]],
    "powers": lambda x: x**x + 2.0**x,
    "softmax": lambda x: F.softmax(x, axis=0) + F.log_softmax(x),
    "where": lambda x: F.where(x > 2.0, x * x, 0.0) + F.where([True, False, True], 1.0, x),
    "joined": lambda x: F.concatenate([x, [[7, 8, 9]], F.stack([x[0], x[1]])]),
    "indices": lambda x: x[[0, 0, 1]] + x[np.array([1, 1, 0])],
    "masks": lambda x: x[x > 2.0] * x[(x > 2.0).array],
    "rows": lambda x: sum(x),
    "reductions": lambda x: x.sum(axis=[0]) + x.mean(axis=(0,)) + x.max(axis=[-1], keepdims=True)[0],
    "comparisons": lambda x: x * ((x > 1.5) & ~(x == 4.0)),
    "without axes": lambda x: F.gelu(x.mean()) + F.relu(x[1, 1]) + F.dropout(x[0, 1], 0.5, RandomKey(1, "dropout")),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_the_same_numbers_come_out_as_on_the_cpu(name):
    x, other = leaf(), Tensor(to_numpy(leaf().array), requires_grad=True)
    y, expected = EXPRESSIONS[name](x), EXPRESSIONS[name](other)
    assert (y.dtype, y.shape) == (np.float32, expected.shape)
    dy = np.random.default_rng(0).normal(size=y.shape).astype(np.float32)
    y.backward(dy)
    expected.backward(dy)
    np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=2e-6)
    np.testing.assert_allclose(to_numpy(x.grad), other.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("view", [lambda x: x.T, lambda x: x.reshape(-1), lambda x: x[0:1], lambda x: x[None]])
def test_a_write_is_noticed_through_views(view):
    x = leaf()
    saved = view(x)
    y = (saved * saved).sum()
    x[0, 0] = 7.0
    with pytest.raises(InPlaceError):
        y.backward()
    y = (view(x) + 1.0).sum()
    x[0, 0] = 8.0
    y.backward()


@pytest.mark.parametrize("kind", ["embedding", "index", "where", "attention"])
def test_a_backward_uses_the_indices_and_masks_of_its_forward(kind):
    x, ids, mask = leaf(), cupy.array([1, 0, 1]), cupy.array([[True, True, False]])
    q = Tensor(cupy.random.default_rng(0).standard_normal((1, 3, 2, 16), dtype=np.float32), requires_grad=True)
    calls = {
        "embedding": (x, lambda: F.embedding(ids, x)),
        "index": (x, lambda: x[ids]),
        "where": (x, lambda: F.where(mask, x, 0.0)),
        "attention": (q, lambda: F.attention(q, q, q, causal=False, key_mask=mask)),
    }
    wanted, call = calls[kind]
    gradients = []
    for changed in (False, True):
        y = call()
        if changed:
            ids[:], mask[:] = 0, cupy.array([[False, True, True]])
        wanted.grad = None
        y.backward(np.ones(y.shape))
        gradients.append(to_numpy(wanted.grad))
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-6, atol=1e-6)
