"""The operations of `ops` on NVIDIA GPUs. Loaded by the registry at the first dispatch to a CuPy array.

It can be imported without CuPy and without a GPU: nothing of CuPy is loaded before an array is computed with.
"""

from ..backend.ordered_sums import sort_with
from ..ops.ids import tell_with
from ..ops.registry import distinguish_devices
from . import attention, fused, gated_ffn, linear, small_matmul
from .faults import check_ids
from .order import stable_order
from .source import current_device

distinguish_devices(current_device)
sort_with(stable_order)
tell_with(check_ids)

__all__ = ["attention", "fused", "gated_ffn", "linear", "small_matmul"]
