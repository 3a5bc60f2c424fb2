"""What a captured graph uses stays its own when a device runs out of memory."""

import gc
import os
import weakref

import cupy
import numpy as np
import pytest

from tinygrad_arith.cuda import graph_memory
from tinygrad_arith.cuda.graph import GraphedFunction, GraphMemory

REPLAYS = 1000
OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation
alone = pytest.mark.skipif("PYTEST_XDIST_WORKER" in os.environ, reason="takes the device's whole memory: run it alone")


@pytest.fixture
def device_of_64_mib(monkeypatch):
    """Blocks for graphs are had until 64 MiB are out."""
    plain, left = graph_memory.new_block, [64 << 20]

    def new_block(size):
        if size > left[0]:
            raise cupy.cuda.runtime.CUDARuntimeError(OUT_OF_MEMORY)
        left[0] -= size
        return plain(size)

    monkeypatch.setattr(graph_memory, "new_block", new_block)


class Filling:
    """A graph with temporaries of so many bytes, from which it makes `out`."""

    def __init__(self, size, value, memory):
        self.size, self.value = size // 4, value
        self.source = cupy.full((), value, np.float32)
        self.out = cupy.zeros(1 << 10, np.float32)
        self.run = GraphedFunction(self.work, memory)

    def work(self):
        temporary = cupy.empty(self.size, np.float32)
        temporary[...] = self.source
        temporary *= 2.0
        self.out[...] = temporary[-self.out.size :]

    def captured(self):
        for _ in range(3):
            self.run()
        assert self.run.graph is not None, self.run.reason
        return self

    def check(self):
        self.out.fill(0)
        self.run()
        np.testing.assert_array_equal(self.out.get(), np.float32(2.0 * self.value))


def run_out(filling):
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
        filling.run()


def test_blocks_that_the_pool_lets_go_of_stay_and_are_used_again(device_of_64_mib):
    memory = GraphMemory()
    first = Filling(24 << 20, 1.0, memory).captured()
    run_out(Filling(48 << 20, 2.0, memory))
    assert memory.pool.total_bytes() == 0  # as CuPy sees it
    assert memory.blocks.total_bytes >= 24 << 20
    taken = cupy.full(24 << 18, 7.0, np.float32)  # whoever would get the memory
    first.check()
    assert float(taken.min()) == float(taken.max()) == 7.0
    before = memory.blocks.total_bytes
    Filling(20 << 20, 3.0, memory).captured().check()
    assert memory.blocks.total_bytes == before
    first.check()


def test_freeing_all_blocks_by_hand_takes_nothing_from_a_graph():
    memory = GraphMemory()
    first = Filling(24 << 20, 1.0, memory).captured()
    memory.pool.free_all_blocks()
    taken = [cupy.full(24 << 18, 7.0, np.float32) for _ in range(3)]
    first.check()
    assert all(float(array.min()) == float(array.max()) == 7.0 for array in taken)


def test_the_memory_goes_with_the_last_graph():
    memory = GraphMemory()
    blocks = weakref.ref(memory.blocks)
    first, second = (Filling(24 << 20, value, memory).captured() for value in (1.0, 2.0))
    del memory, first
    gc.collect()  # a graph and the function that it calls may hold each other, as here
    assert blocks().total_bytes >= 24 << 20
    second.check()
    del second
    gc.collect()
    assert blocks() is None


def test_a_capture_that_runs_out_leaves_the_others_whole(device_of_64_mib):
    memory = GraphMemory()
    first, second = Filling(16 << 20, 1.0, memory).captured(), Filling(8 << 20, 2.0, memory)
    for _ in range(2):
        second.run()
    second.size = 60 << 18  # larger than there is, at the very call that is captured
    run_out(second)
    assert second.run.reason is not None
    assert "OutOfMemoryError" in second.run.reason
    first.check()


def test_replays_give_the_same_bits_while_another_graph_runs_out_of_memory(device_of_64_mib):
    memory = GraphMemory()
    first = Filling(24 << 20, 1.5, memory).captured()
    for replay in range(REPLAYS):
        if replay % 50 == 0:
            run_out(Filling(48 << 20, 2.0, memory))
            other = cupy.full(24 << 18, 7.0, np.float32)
        first.run()
        if replay % 10 == 0:
            np.testing.assert_array_equal(first.out.get(), np.float32(3.0))
    assert float(other.min()) == float(other.max()) == 7.0


@alone
def test_replays_give_the_same_bits_while_a_real_device_runs_out_of_memory():
    cupy.get_default_memory_pool().free_all_blocks()
    free = cupy.cuda.runtime.memGetInfo()[0]
    memory = GraphMemory()
    first = Filling(int(free * 0.4) // 4096 * 4096, 1.5, memory).captured()
    larger = Filling(int(free * 0.8) // 4096 * 4096, 2.0, memory)
    run_out(larger)
    taken = cupy.full(int(free * 0.3) // 4096 * 1024, 7.0, np.float32)
    small = Filling(1 << 20, 2.5, memory).captured()
    for replay in range(20):
        run_out(larger)
        first.check()
        small.check()
        assert replay or float(taken.min()) == float(taken.max()) == 7.0
    del taken, first, small, larger, memory
    cupy.get_default_memory_pool().free_all_blocks()


def test_what_the_default_pool_hoards_is_given_back_before_a_graph_runs_out(monkeypatch):
    pool, plain, asked = cupy.get_default_memory_pool(), cupy.cuda.Memory, []
    hoard = cupy.empty(2 << 30, np.uint8)
    del hoard
    before = pool.total_bytes()

    def memory(size):
        asked.append(size)
        if len(asked) == 1:
            raise cupy.cuda.runtime.CUDARuntimeError(OUT_OF_MEMORY)
        return plain(size)

    monkeypatch.setattr(cupy.cuda, "Memory", memory)
    assert graph_memory.new_block(1 << 20).size == 1 << 20
    assert asked == [1 << 20] * 2
    assert pool.total_bytes() <= before - (2 << 30)


def test_other_errors_and_a_device_that_is_full_are_told(monkeypatch):
    for status, attempts in ((OUT_OF_MEMORY, 2), (1, 1)):
        asked = []

        def memory(size, status=status, asked=asked):
            asked.append(size)
            raise cupy.cuda.runtime.CUDARuntimeError(status)

        monkeypatch.setattr(cupy.cuda, "Memory", memory)
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError):
            graph_memory.new_block(512)
        assert len(asked) == attempts
