"""What an optimizer can be made of, checked before its first step."""

from typing import Any

from ..nn import FlatParameters


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


def require_betas(optimizer: str, betas: Any) -> None:
    """Raises ValueError for anything but two numbers that an average can be made with."""
    numbers = tuple(betas) if isinstance(betas, tuple | list) else ()
    if len(numbers) != 2 or not all(is_share(beta) for beta in numbers):
        raise ValueError(f"{optimizer}: betas must be two numbers from 0 to below 1, not {betas}")


def require_share(optimizer: str, name: str, value: Any) -> None:
    """Raises ValueError for anything but a number from 0 to below 1."""
    if not is_share(value):
        raise ValueError(f"{optimizer}: {name} must be a number from 0 to below 1, not {value}")


def is_share(value: Any) -> bool:
    """Whether it is a number from 0 to below 1."""
    return isinstance(value, float | int) and 0.0 <= value < 1.0


def require_not_negative(optimizer: str, **numbers: float) -> None:
    """Raises ValueError unless all of these are 0 or above."""
    for name, number in numbers.items():
        if not number >= 0.0:  # NaN is neither
            raise ValueError(f"{optimizer}: {name} must be 0 or above, not {number}")
