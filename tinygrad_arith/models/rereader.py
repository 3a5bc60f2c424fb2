"""Reading all tokens anew for each that follows: for generation with models that keep nothing of what they read."""

from typing import Any

import numpy as np

from ..nn import Module


class Rereader:
    """Calls a model, ids (B, T) -> logits (B, T, V), with all tokens so far. positions, key_mask: (B, fed) or None."""

    def __init__(self, model: Module, batch: int, positions: Any = None, key_mask: Any = None):
        self.model, self.positions, self.key_mask = model, positions, key_mask
        self.ids = np.zeros((batch, 0), dtype=np.int64)  # (B, 0)

    def __call__(self, ids: np.ndarray) -> Any:  # (B, T) -> (B, V)
        """The logits behind the last of the new tokens."""
        self.ids = np.concatenate([self.ids, ids], axis=1)  # (B, tokens so far)
        given = {"positions": self.positions, "key_mask": self.key_mask}
        so_far = {name: None if array is None else array[:, : self.ids.shape[1]] for name, array in given.items()}
        return self.model(self.ids, **so_far).array[:, -1]
