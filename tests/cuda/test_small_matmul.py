"""Batches of small matrix multiplications: NumPy's results, whatever the strides, and in a graph."""

import cupy
import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.cuda.graph import GraphedFunction
from tinygrad_arith.cuda.small_matmul import accepts

SHAPES = [(1, 1, 1, 1), (5, 19, 16, 19), (3, 2, 33, 7), (1536, 19, 19, 16), (2, 256, 256, 256)]


def factors(batch, rows, inner, columns):
    rng = np.random.default_rng(1)
    a = rng.normal(size=(batch, rows, inner)).astype(np.float32)
    return a, rng.normal(size=(batch, inner, columns)).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("transposed", [False, True])
def test_results_and_gradients_are_those_of_numpy(shape, transposed):
    a, b = factors(*shape)
    there = [cupy.asarray(array) for array in (a, b)]
    assert accepts(*there)
    if transposed:  # the same values, lying the other way
        there = [cupy.ascontiguousarray(array.swapaxes(1, 2)).swapaxes(1, 2) for array in there]
    left, right = (Tensor(array, requires_grad=True) for array in there)
    out = left @ right
    dy = np.random.default_rng(2).normal(size=out.shape).astype(np.float32)
    out.backward(cupy.asarray(dy))
    pairs = [(out.array, a @ b), (left.grad, dy @ b.swapaxes(1, 2)), (right.grad, a.swapaxes(1, 2) @ dy)]
    for got, expected in pairs:
        np.testing.assert_allclose(got.get(), expected, rtol=1e-4, atol=1e-4)


def test_small_matrix_products_stand_in_a_graph():
    a, b = (cupy.asarray(array) for array in factors(4, 19, 16, 19))
    out = cupy.zeros((4, 19, 19), np.float32)

    def compute():
        out[...] = (Tensor(a) @ Tensor(b)).array

    graphed = GraphedFunction(compute)
    for _ in range(4):
        graphed()
    assert graphed.graph is not None, graphed.reason
    np.testing.assert_allclose(out.get(), a.get() @ b.get(), rtol=1e-4, atol=1e-4)
