"""Views and tables that span more than 2^31 elements: every product with a stride is made in 64 bits."""

import os

import cupy
import numpy as np
import pytest
from cupy.lib.stride_tricks import as_strided
from test_attention import Sizes, draw, problem_of

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.backend.deferred import raise_deferred
from tinygrad_arith.cuda.attention import BFLOAT16, kernel_variant

DTYPES = {
    "small_tensor": "bfloat16",
    "small": "float32",
    "mma": "bfloat16",
    "tf32": "float32",
    "blockwise": "float32",
    "naive": "bfloat16",
}
HEAD, ARRAYS = 64, 8  # channels of a head; q, k, v, dy, out, dq, dk, dv
FAR_HEAD = 2**30 + ARRAYS * HEAD  # elements: the third head begins behind 2^31
FAR_POSITION = 2**27 + ARRAYS * HEAD  # the 17th position does
few = pytest.mark.skipif("PYTEST_XDIST_WORKER" in os.environ, reason="takes 15 GB of the device: run it alone")


@pytest.fixture(autouse=True)
def memory_given_back():
    yield
    cupy.get_default_memory_pool().free_all_blocks()


def interleaved(shape, dtype, strides):
    """ARRAYS views of one array, side by side at each position; strides in elements by batch, position, head."""
    last = sum((size - 1) * stride for size, stride in zip(shape[:3], strides, strict=True))
    memory = cupy.empty(last + ARRAYS * HEAD, dtype)
    in_bytes = tuple(stride * dtype.itemsize for stride in (*strides, 1))
    return [as_strided(memory[i * HEAD :], shape, in_bytes) for i in range(ARRAYS)]


def results(name, sizes, arrays, inputs):
    """out and the gradients by a kernel variant, which reads and writes these arrays."""
    q, k, v, dy, out, dq, dk, dv = arrays
    for array, values in zip((q, k, v, dy), inputs[:4], strict=True):
        array[...] = cupy.asarray(values)
    for array in (out, dq, dk, dv):
        array[...] = np.nan
    problem = problem_of(sizes, q, k, None)
    lse = cupy.empty((sizes.batch, sizes.heads, sizes.queries), np.float32)
    kernel_variant(name).forward(problem, q, k, v, out, lse)
    kernel_variant(name).backward(problem, dy, q, k, v, out, lse, dq, dk, dv)
    return [cupy.ascontiguousarray(array).get() for array in (out, lse, dq, dk, dv)]


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("far", ["heads", "positions"])
def test_attention_over_views_that_span_more_than_32_bits(name, far):
    positions = 17 if far == "positions" else 48 if name.startswith("small") else 128
    heads = 1 if far == "positions" else 3
    sizes = Sizes(positions, positions, 1, heads, heads, HEAD, dtype=DTYPES[name])
    inputs = draw(sizes)
    strides = (0, FAR_POSITION, 0) if far == "positions" else (0, ARRAYS * HEAD, FAR_HEAD)
    far_away = results(name, sizes, interleaved(inputs.q.shape, inputs.q.dtype, strides), inputs)
    near = results(name, sizes, [cupy.empty(inputs.q.shape, inputs.q.dtype) for _ in range(ARRAYS)], inputs)
    for what, mine, right in zip(("out", "lse", "dq", "dk", "dv"), far_away, near, strict=True):
        assert mine.tobytes() == right.tobytes(), what


@few
def test_an_embedding_of_more_than_2_to_the_32_groups():
    channels, vocabulary = 5, 7  # no multiple of 16 bytes: a thread for each element
    count = 2**32 // channels + 1000
    table = Tensor(cupy.asarray(np.arange(channels * vocabulary).reshape(vocabulary, channels).astype(BFLOAT16)))
    ids = cupy.zeros(count, np.int32)
    ids[-1000:] = 1 + cupy.arange(1000, dtype=np.int32) % 6
    ids[:1000] = 1 + cupy.arange(1000, dtype=np.int32) % 6
    y = F.embedding(ids, table)
    raise_deferred()
    for part in (slice(0, 1000), slice(count - 1000, count), slice(count // 2, count // 2 + 10)):
        expected = table.numpy().astype(np.float32)[ids[part].get()]
        np.testing.assert_array_equal(y.array[part].get().astype(np.float32), expected)


@few
@pytest.mark.parametrize("positions", [1, 2])
def test_positions_farther_apart_than_32_bits_tell_are_copied(positions):
    sizes = Sizes(positions, positions, 1, 2, 2, HEAD, dtype="bfloat16")
    inputs = draw(sizes)
    far = interleaved(inputs.q.shape, inputs.q.dtype, (ARRAYS * HEAD * 2, 2**31 + 1024, ARRAYS * HEAD))
    for array, values in zip(far[:3], inputs[:3], strict=True):
        array[...] = cupy.asarray(values)
    found, expected = (
        F.attention(*(Tensor(x) for x in arrays)).array.get() for arrays in (far[:3], map(cupy.asarray, inputs[:3]))
    )
    assert found.tobytes() == expected.tobytes()
