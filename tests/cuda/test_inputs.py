"""What a replay reads is what was sent last, whatever the memory was used for before."""

import cupy
import numpy as np
import pytest

from tinygrad_arith.cuda.inputs import Inputs


@pytest.fixture
def copies():
    return cupy.cuda.Stream(non_blocking=True)


def test_values_arrive_in_their_places(copies):
    rng = np.random.default_rng(0)
    values = {"tokens": rng.integers(0, 9, (3, 5)), "rate": np.float32(0.5), "mask": rng.random((3, 5)) < 0.5}
    inputs = Inputs({name: np.asarray(value) for name, value in values.items()}, copies)
    for _ in range(3):
        values["tokens"] = values["tokens"] + 1
        inputs.send(values)
        for name, value in values.items():
            np.testing.assert_array_equal(inputs.arrays[name].get(), value)
        inputs.release()


def test_the_first_copy_waits_for_whoever_had_the_memory_before(copies):
    """Two models trained one after the other in one process: the second one's first batch must not be written over."""
    values = {"tokens": np.arange(1 << 18)}
    busy = cupy.ones((4096, 4096), np.float32)
    for _ in range(5):
        before = cupy.empty(values["tokens"].nbytes, np.uint8)
        for _ in range(30):  # the stream is late by some milliseconds
            busy = busy @ busy
        before.fill(255)
        del before  # its memory is free for the next array, though it will be written to later
        inputs = Inputs(values, copies)
        inputs.send(values)
        np.testing.assert_array_equal(inputs.arrays["tokens"].get(), values["tokens"])
        inputs.release()
