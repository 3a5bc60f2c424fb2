"""Numbers and whole numbers among the arguments of an operation or a module, checked before they are computed with."""

import math
import operator
from typing import Any

import numpy as np

from .shape_rules import ShapeError


def is_real(value: Any) -> bool:
    """Whether it is a finite number of Python or NumPy; True and False are none."""
    number = isinstance(value, int | float | np.integer | np.floating) and is_no_bool(value)
    return number and bool(-math.inf < value < math.inf)


def is_no_bool(value: Any) -> bool:
    """Whether it is neither True nor False, which Python counts as 1 and 0."""
    return not isinstance(value, bool | np.bool_)


def is_whole(value: Any) -> bool:
    """Whether it is a whole number of Python or NumPy."""
    return isinstance(value, int | np.integer) and is_no_bool(value)


def require_positive(whose: str, **numbers: Any) -> None:
    """Raises ShapeError for what is no finite number above 0."""
    for name, value in numbers.items():
        if not (is_real(value) and value > 0):
            raise ShapeError(f"{whose}: {name} must be a number above 0, not {value!r}")


def require_not_negative(whose: str, **numbers: Any) -> None:
    """Raises ShapeError for what is no finite number from 0 on."""
    for name, value in numbers.items():
        if not (is_real(value) and value >= 0):
            raise ShapeError(f"{whose}: {name} must be a number from 0 on, not {value!r}")


def require_sizes(whose: str, least: int = 1, **sizes: Any) -> None:
    """Raises ShapeError for a size that is no whole number from `least` on."""
    for name, size in sizes.items():
        try:
            fits = is_no_bool(size) and operator.index(size) >= least
        except TypeError:
            fits = False
        if not fits:
            raise ShapeError(f"{whose}: {name} must be a whole number from {least} on, not {size!r}")
