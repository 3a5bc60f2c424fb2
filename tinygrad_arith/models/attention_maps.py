"""Where a model looks: its attention probabilities, for pictures."""

from typing import Any

import numpy as np

from ..autograd import no_grad
from ..nn import Module, SelfAttention, observe_outputs


def has_attention(model: Module) -> bool:
    """Whether a model has attention to look at."""
    return any(isinstance(module, SelfAttention) for module in model.named_modules().values())


def attention_maps(model: Any, ids: np.ndarray, positions=None, key_mask=None) -> list[np.ndarray]:
    """For each block (B, NH, T, T): what each query (row) takes from each key (column); a row adds up to 1, or to 0
    where a query sees no key.

    ids (B, T), positions and key_mask as the model takes them. Raises ValueError for a model without attention.
    """
    layers = [module for module in model.named_modules().values() if isinstance(module, SelfAttention)]
    if not layers:
        raise ValueError(f"attention_maps: a {type(model).__name__} has no attention")
    projections: dict[int, Any] = {}

    def keep(module: Module, out: Any) -> None:
        projections[id(module)] = out.array

    with no_grad():
        with observe_outputs(keep):
            model(ids, positions=positions, key_mask=key_mask)
        _, positions, key_mask = model.inputs(ids, positions, key_mask)
        return [layer.probabilities(projections[id(layer.qkv)], positions, key_mask) for layer in layers]
