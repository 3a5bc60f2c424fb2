"""The numbers of an optimizer's update, as its kernel takes them."""

from typing import Any

from .elements import FLOAT32
from .source import cupy


def by_value_or_address(rate: Any) -> tuple[float, Any]:
    """A rate as the kernel takes it: its value and None, or 0 and where on the device to read it."""
    if isinstance(rate, cupy.ndarray):
        return 0.0, rate.astype(FLOAT32, copy=False)
    return float(rate), None
