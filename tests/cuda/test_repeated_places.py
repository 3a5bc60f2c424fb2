"""Sums at places that repeat: the same bits every time on the GPU, where CuPy's own come in any order."""

import cupy
import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.backend import add_at
from tinygrad_arith.cuda.graph import GraphedFunction
from tinygrad_arith.cuda.order import stable_order

INDICES = {
    "a list": [3, 0, 3, 3],
    "ids": np.random.default_rng(0).integers(0, 7, (40, 50)),
    "from the end": np.array([-1, 0, -7, 6]),
    "two axes": (np.array([0, 2, 2, 2]), np.array([4, 1, 1, 1])),
    "the second axis": (slice(None), np.random.default_rng(1).integers(0, 5, 300)),
    "a mask": np.random.default_rng(2).random((7, 5, 3)) < 0.5,
    "none": np.zeros(0, np.int64),
}


def there(index):
    if isinstance(index, tuple):
        return tuple(map(there, index))
    return cupy.asarray(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", INDICES)
def test_the_gradient_of_an_index_is_that_of_the_cpu_with_the_same_bits_every_time(name, dtype):
    index, rng = INDICES[name], np.random.default_rng(4)
    x = rng.normal(size=(7, 5, 3)).astype(dtype)
    here = Tensor(x, requires_grad=True)
    dy = rng.normal(size=here[index].shape).astype(dtype)
    here[index].backward(dy)
    found = []
    for _ in range(4):
        leaf = Tensor(cupy.asarray(x), requires_grad=True)
        leaf[there(index)].backward(cupy.asarray(dy))
        found.append(leaf.grad.get())
    np.testing.assert_allclose(found[0], here.grad, rtol=1e-5 if dtype == np.float32 else 1e-13, atol=1e-5)
    assert all(again.tobytes() == found[0].tobytes() for again in found)


@pytest.mark.parametrize("vocabulary", [3, 1000])
def test_the_embedding_in_float64_gives_the_same_bits_every_time(vocabulary):
    rng = np.random.default_rng(5)
    ids, dy = rng.integers(0, vocabulary, 20_000), rng.normal(size=(20_000, 6))
    exact = np.zeros((vocabulary, 6))
    np.add.at(exact, ids, dy)
    found = []
    for _ in range(4):
        table = Tensor(cupy.zeros((vocabulary, 6)), requires_grad=True)
        F.embedding(cupy.asarray(ids), table).backward(cupy.asarray(dy))
        found.append(table.grad.get())
    np.testing.assert_allclose(found[0], exact, rtol=1e-11, atol=1e-11)
    assert all(again.tobytes() == found[0].tobytes() for again in found)


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("count", [0, 1, 2048, 2049, 5000, 6144, 20_000, 300_000])
@pytest.mark.parametrize("ids", [1, 7, 2**31 - 1])
def test_the_order_is_that_of_a_stable_sort(ids, count, index):
    drawn = np.random.default_rng(6).integers(0, ids, count).astype(index)
    found = stable_order(cupy.asarray(drawn), ids)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found.get(), np.argsort(drawn, kind="stable"))


@pytest.mark.parametrize("name", [name for name in INDICES if name not in ("a list", "a mask")])
def test_a_gradient_of_an_index_stands_in_a_graph(name):
    index, rng = there(INDICES[name]), np.random.default_rng(7)
    leaf = Tensor(cupy.asarray(rng.normal(size=(7, 5, 3)).astype(np.float32)), requires_grad=True)
    dy = cupy.asarray(rng.normal(size=leaf.array[index].shape).astype(np.float32))
    found = cupy.zeros_like(leaf.array)

    def work():
        leaf.grad = None
        leaf[index].backward(dy)
        found[...] = leaf.grad

    work()
    expected = found.get()
    graphed = GraphedFunction(work)
    for _ in range(4):
        found.fill(np.nan)
        graphed()
    assert graphed.graph is not None, graphed.reason
    assert found.get().tobytes() == expected.tobytes()


def test_places_outside_are_left_out():
    target = cupy.zeros((4, 2))
    add_at(target, cupy.asarray([0, 4, -5, -1]), cupy.ones((4, 2)))
    np.testing.assert_array_equal(target.get()[:, 0], [1.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint64", "int64"])
@pytest.mark.parametrize("table", [np.float32, np.float64])
def test_the_number_of_rows_need_not_fit_the_ids(dtype, table):
    ids = np.array([0, 100, 99, 5, 5, 5, 126, 1], dtype)
    target, expected = cupy.zeros((300, 3), table), np.zeros((300, 3))
    add_at(target, cupy.asarray(ids), cupy.ones((8, 3), table))
    np.add.at(expected, ids, 1.0)
    np.testing.assert_array_equal(target.get(), expected)
