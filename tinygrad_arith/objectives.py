"""What is minimised: an objective states its loss once, for steps on the host and on a GPU and for evaluations.

A loss is a sum over terms, and how many there are is counted apart, on the host, before any of it is computed: who
asks for a gradient gives the normaliser. Parts of a batch, micro-batches and several devices thus add up to the whole.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from .autograd import Tensor
from .autograd import functions as F
from .backend import RandomKey, on_device_of
from .nn import Module


class Batch(NamedTuple):
    """What a model is trained on: `B` samples of `T` tokens.

    tokens:    int64 (B, T)
    targets:   int64 (B, T), the next token; -1 where nothing is predicted that bears loss; (B, 1) where a row is a
               prefix, which has one next token
    weights:   None, or float of the targets' shape: how much each of them counts
    positions: None for 0, 1, ..., T - 1, or int64 (B, T)
    key_mask:  None where no token is padding, or bool (B, T), false on padding
    """

    tokens: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None = None
    positions: np.ndarray | None = None
    key_mask: np.ndarray | None = None

    def on_device_of(self, array: Any) -> "Batch":
        """The same batch where `array` lives."""
        return Batch._make(on_device_of(array, field) for field in self)

    def rows(self, rows: slice) -> "Batch":
        """Some of its rows."""
        return Batch._make(None if field is None else field[rows] for field in self)


class Loss(NamedTuple):
    """The loss of a batch, not yet divided, and what it was computed from."""

    total: Tensor  # ()
    outputs: Tensor  # of the model: logits (B, T, V)


class Objective(Protocol):
    """What training minimises. It is sent to worker processes: it must be possible to pickle it."""

    def loss(self, model: Module, batch: Batch, key: RandomKey | None = None) -> Loss:
        """The summed loss of a batch, and the model's outputs; `key` names the dropout masks.

        On a GPU this is captured into a graph: nothing may look at values.
        """
        ...

    def count(self, batch: Batch) -> int:
        """How many terms the loss of a batch of NumPy arrays sums up."""
        ...


@dataclass(frozen=True)
class NextToken:
    """The cross-entropy of the token that follows, in nats, over all targets that are not -1."""

    def loss(self, model: Module, batch: Batch, key: RandomKey | None = None) -> Loss:
        """See `Objective.loss`."""
        logits = model(batch.tokens, positions=batch.positions, key_mask=batch.key_mask, dropout_key=key)  # (B, T, V)
        targets, weights = (on_device_of(logits.array, array) for array in (batch.targets, batch.weights))
        return Loss(F.cross_entropy_sum(logits, targets, weights), logits)

    def count(self, batch: Batch) -> int:
        """How many targets bear loss."""
        return int(np.count_nonzero(batch.targets != -1))


NEXT_TOKEN = NextToken()
