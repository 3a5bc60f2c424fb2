"""What an optimizer can be made of, checked before its first step."""

import math
from numbers import Real
from typing import Any

import numpy as np

from ..nn import FlatParameters

FINITE = ": a finite number is needed"


def require_flat(flat: Any, call: str) -> None:
    """Raises TypeError for what is not the flat arrays of a model, with the call as it should be."""
    if not isinstance(flat, FlatParameters):
        name = call.partition("(")[0]
        raise TypeError(f"{name} takes the flat arrays of a model: {call}, not the {type(flat).__name__}")
    flat.require_gradients()


def refuse_others(optimizer: str, others: dict[str, Any], known: str) -> None:
    """Raises TypeError for arguments that the optimizer has elsewhere. `known`: those that it takes here."""
    for name in others:
        if name in ("lr", "learning_rate", "rate"):
            raise TypeError(f"{optimizer} takes no {name}: the rate goes to every step, step(rate)")
        raise TypeError(f"{optimizer} has no {name}: it takes {known}")


def betas_of(optimizer: str, betas: Any) -> tuple[float, float]:
    """Two numbers that an average can be made with, as Python's. Raises ValueError for anything else."""
    numbers = (
        tuple(map(as_number, betas)) if isinstance(betas, tuple | list | np.ndarray) and np.ndim(betas) == 1 else ()
    )
    if len(numbers) != 2 or not all(0.0 <= beta < 1.0 for beta in numbers):
        raise ValueError(f"{optimizer}: betas must be two numbers from 0 to below 1, not {betas}")
    return numbers


def share(optimizer: str, name: str, value: Any) -> float:
    """A number from 0 to below 1, as Python's. Raises ValueError for anything else."""
    number = as_number(value)
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{optimizer}: {name} must be a number from 0 to below 1, not {value}")
    return number


def not_negative(owner: str, name: str, value: Any) -> float:
    """A finite number of 0 or above, as Python's. Raises ValueError for anything else."""
    number = as_number(value)
    if not 0.0 <= number < math.inf:  # NaN is neither
        raise ValueError(f"{owner}: {name} must be 0 or above, not {value}{'' if math.isfinite(number) else FINITE}")
    return number


def finite(owner: str, name: str, value: Any) -> float:
    """A finite number, as Python's. Raises ValueError for anything else."""
    number = as_number(value)
    if not math.isfinite(number):
        raise ValueError(f"{owner}: {name} must be a finite number, not {value}")
    return number


def truth(optimizer: str, name: str, value: Any) -> bool:
    """True or False. Raises ValueError for anything else, which would count as one of them."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{optimizer}: {name} must be True or False, not {value!r}")
    return bool(value)


def as_number(value: Any) -> float:
    """A number, or an array () of one, as Python's, so that all implementations get the same bits; NaN for others."""
    if isinstance(value, bool | np.bool_) or not (isinstance(value, Real) or getattr(value, "shape", None) == ()):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
