"""Sizes that no module can have are an error when it is made."""

import operator
from typing import Any

from ..ops import ShapeError


def require_sizes(whose: str, least: int = 1, **sizes: Any) -> None:
    """Raises ShapeError for a size that is no whole number from `least` on."""
    for name, size in sizes.items():
        try:
            fits = operator.index(size) >= least
        except TypeError:
            fits = False
        if not fits:
            raise ShapeError(f"{whose}: {name} must be a whole number from {least} on, not {size!r}")
