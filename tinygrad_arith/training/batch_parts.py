"""The parts of a batch that workers share, and what each worker computes of its part.

A loss is a sum over targets and its normaliser comes from outside, so the losses and gradients of the parts add up to
those of the whole batch. As many workers take the same parts in every run, and these are added in a fixed order: the
same seed gives the same bits. Another number of workers computes the same, with the same dropout masks, but rounds its
sums differently.
"""

import numpy as np

from ..backend import RandomKey
from ..nn import Module
from ..objectives import Batch, Objective


def split(batch: Batch, key: RandomKey, parts: int) -> list[tuple[Batch, RandomKey]]:
    """The parts of a batch, at most `parts`, none of them empty; each with the key of its dropout masks, which are its
    rows of the whole batch's.
    """
    bounds = np.array_split(np.arange(len(batch.tokens)), parts)
    return [(batch.rows(slice(rows[0], rows[-1] + 1)), key.at(row=int(rows[0]))) for rows in bounds if len(rows)]


def loss_and_gradient(model: Module, objective: Objective, batch: Batch, key: RandomKey, normalizer: int) -> float:
    """The summed loss of a batch; the gradient of that sum / normalizer is in `model.flat.gradients` afterwards."""
    # NumPy's warnings, which are set for each thread, are off: the trainer looks at the loss and the gradient once.
    with np.errstate(all="ignore"), model.flat.fresh_gradients():
        loss = objective.loss(model, batch, key).total  # ()
        loss.backward(1.0 / normalizer)
    return loss.item()
