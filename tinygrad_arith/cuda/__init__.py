"""The operations of `ops` on NVIDIA GPUs. Loaded by the registry at the first dispatch to a CuPy array.

It can be imported without CuPy and without a GPU: nothing of CuPy is loaded before an array is computed with.
"""

from ..ops.registry import distinguish_devices
from . import attention, batched, fused, linear
from .source import current_device

distinguish_devices(current_device)

__all__ = ["attention", "batched", "fused", "linear"]
