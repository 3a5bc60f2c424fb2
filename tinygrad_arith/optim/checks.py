"""What an optimizer can be made of, checked before its first step."""

from typing import Any

from ..nn import FlatParameters


def require_flat(flat: Any, call: str) -> None:
    """Raises TypeError for what is not the flat arrays of a model, with the call as it should be."""
    if not isinstance(flat, FlatParameters):
        name = call.partition("(")[0]
        raise TypeError(f"{name} takes the flat arrays of a model: {call}, not the {type(flat).__name__}")
    flat.require_gradients()


def refuse_others(others: dict[str, Any]) -> None:
    """Raises TypeError for arguments that AdamW has elsewhere."""
    for name in others:
        if name in ("lr", "learning_rate", "rate"):
            raise TypeError(f"AdamW takes no {name}: the rate goes to every step, step(rate)")
        raise TypeError(f"AdamW has no {name}: it takes betas, eps, weight_decay, decay_all")


def require_settings(betas: Any, eps: float, weight_decay: float) -> None:
    """Raises ValueError for numbers that no average or update can be made with."""
    numbers = tuple(betas) if isinstance(betas, tuple | list) else ()
    if len(numbers) != 2 or not all(isinstance(beta, float | int) and 0.0 <= beta < 1.0 for beta in numbers):
        raise ValueError(f"AdamW: betas must be two numbers from 0 to below 1, not {betas}")
    if not (eps >= 0.0 and weight_decay >= 0.0):
        raise ValueError(f"AdamW: eps and weight_decay must be 0 or above, not {eps} and {weight_decay}")
