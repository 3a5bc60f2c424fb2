"""How generation reads with a model: what is new behind what was read before.

What is asked of a model is little: `config` with `context` and `vocabulary`, and a call with ids (B, T), `positions`
and `key_mask` that gives a Tensor of logits (B, T, V). A model with `new_caches` is not given old tokens again.
"""

from typing import Any, Protocol

import numpy as np

from ..backend import repeat_rows
from ..nn import KeyValueCache


class Reader(Protocol):
    """Reads what is new, (B, T) int, behind what it read before; returns the logits behind the last token, (B, V)."""

    def __call__(self, ids: np.ndarray) -> Any: ...

    def repeat(self, times: int) -> None:
        """From now on every row stands so many times."""
        ...


class Generator(Protocol):
    """What generation asks of a model.

    Three things more are made use of where they are there:

    new_caches(batch, longest): empty key/value caches (`nn.KeyValueCache`) with room for `longest` positions. The model
                                then takes them as `caches`, beside the mask of all positions so far
    reader(batch, positions, key_mask): a `Reader` of its own, for models that read in another way (a window)
    flat:                               the flat arrays of its parameters; on a GPU it is written there
    """

    config: Any

    def __call__(self, ids: Any, positions: Any = None, key_mask: Any = None) -> Any: ...


def require_generator(model: Any) -> None:
    """Raises TypeError for what is no model as `Generator` says."""
    sizes = [getattr(getattr(model, "config", None), name, None) for name in ("context", "vocabulary")]
    if not callable(model) or isinstance(model, type) or not all(isinstance(size, int | np.integer) for size in sizes):
        raise TypeError(
            "generate: a model is called with ids, and has config.context and config.vocabulary (python -m pydoc "
            f"tinygrad_arith.generation.readers says more); this is {type(model).__name__}"
        )


def reader_of(model: Any, batch: int, longest: int, positions: Any, key_mask: Any) -> Reader:
    """One that has read nothing yet, of at most `longest` tokens. positions, key_mask: (B, longest), or None."""
    if has_own_reader(model):
        return model.reader(batch, positions, key_mask)
    if hasattr(model, "new_caches"):
        return CachedReader(model, model.new_caches(batch, longest), positions, key_mask)
    return Rereader(model, batch, positions, key_mask)


def has_own_reader(model: Any) -> bool:
    """Whether the model reads in a way of its own."""
    return hasattr(model, "reader")


class CachedReader:
    """Calls a model with what is new; its caches hold what came before. positions, key_mask: (B, fed) or None."""

    def __init__(self, model: Any, caches: list[KeyValueCache], positions: Any, key_mask: Any):
        self.model, self.caches = model, caches
        self.positions, self.key_mask = positions, key_mask

    def __call__(self, ids: Any) -> Any:  # (B, T) -> (B, V)
        """The logits behind the last of the new tokens."""
        start = self.caches[0].length if self.caches else 0
        end = start + ids.shape[1]
        positions = None if self.positions is None else self.positions[:, start:end]  # (B, T)
        key_mask = None if self.key_mask is None else self.key_mask[:, :end]  # (B, end)
        return self.model(ids, positions=positions, key_mask=key_mask, caches=self.caches).array[:, -1]

    def repeat(self, times: int) -> None:
        """See `Reader`."""
        self.caches = [cache.repeated(times) for cache in self.caches]
        self.positions, self.key_mask = repeat_rows(self.positions, times), repeat_rows(self.key_mask, times)


class Rereader:
    """Calls a model with all tokens so far, for models that keep nothing. positions, key_mask: (B, fed) or None."""

    def __init__(self, model: Any, batch: int, positions: Any, key_mask: Any):
        self.model, self.positions, self.key_mask = model, positions, key_mask
        self.ids = np.zeros((batch, 0), dtype=np.int64)  # (B, 0)

    def __call__(self, ids: np.ndarray) -> Any:  # (B, T) -> (B, V)
        """The logits behind the last of the new tokens."""
        self.ids = np.concatenate([self.ids, ids], axis=1)  # (B, tokens so far)
        given = {"positions": self.positions, "key_mask": self.key_mask}
        so_far = {name: None if array is None else array[:, : self.ids.shape[1]] for name, array in given.items()}
        return self.model(self.ids, **so_far).array[:, -1]

    def repeat(self, times: int) -> None:
        """See `Reader`."""
        self.ids = repeat_rows(self.ids, times)
        self.positions, self.key_mask = repeat_rows(self.positions, times), repeat_rows(self.key_mask, times)
