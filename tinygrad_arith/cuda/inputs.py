"""What the host gives to each replay of a graph: arrays that it fills anew, one copy for all of them.

A graph reads its inputs at fixed places on the device. The copy there must wait until the last replay has read them,
and the host must not touch its side before the last copy is done. Two `Inputs` in turns keep all three busy: while the
GPU computes with one, the copy into the other runs beside it, and the host prepares what comes next.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .source import cupy

ALIGNMENT = 256  # bytes, at which every array starts


class Inputs:
    """Arrays of fixed shapes and dtypes, in one piece of pinned memory on the host and one on the device.

    arrays: those on the device, by name
    """

    def __init__(self, like: Mapping[str, np.ndarray], copies: Any):
        """like: arrays of the shapes and dtypes; copies: the stream that the copies run on"""
        places, size = {}, 0
        for name, array in like.items():
            places[name] = slice(size, size + array.nbytes)
            size += math.ceil(array.nbytes / ALIGNMENT) * ALIGNMENT
        self._host = np.frombuffer(cupy.cuda.alloc_pinned_memory(max(size, 1)), np.uint8, size)  # (bytes,)
        self._device = cupy.empty(size, np.uint8)  # (bytes,)
        self._on_host = _views(self._host, like, places)
        self.arrays = _views(self._device, like, places)
        self._copies = copies
        self._copied, self._read = (cupy.cuda.Event(disable_timing=True) for _ in range(2))
        self.release()  # the memory may have been another array's, whose readers and writers are still on their way

    def send(self, values: Mapping[str, Any]) -> None:
        """Copies the values to the device, before what the current stream gets from now on.

        The host waits for the copy before this one at most, not for what reads the arrays now.
        """
        self._copied.synchronize()
        for name, array in self._on_host.items():
            array[...] = values[name]
        self._copies.wait_event(self._read)
        self._device.set(self._host, stream=self._copies)
        self._copied.record(self._copies)
        cupy.cuda.get_current_stream().wait_event(self._copied)

    def release(self) -> None:
        """To be called when the current stream has been given all that reads the arrays as they are now."""
        self._read.record(cupy.cuda.get_current_stream())


def _views(memory: Any, like: Mapping[str, np.ndarray], places: Mapping[str, slice]) -> dict[str, Any]:
    return {name: memory[places[name]].view(array.dtype).reshape(array.shape) for name, array in like.items()}
