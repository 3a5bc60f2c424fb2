"""The operations of `ops` on NVIDIA GPUs. Loaded by the registry at the first dispatch to a CuPy array.

It can be imported without CuPy and without a GPU: nothing of CuPy is loaded before an array is computed with.
"""

from . import attention, batched, fused, linear

__all__ = ["attention", "batched", "fused", "linear"]
