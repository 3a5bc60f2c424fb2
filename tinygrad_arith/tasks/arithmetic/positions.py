"""Position ids: which places of a sample a model is to take for equal.

order:   0, 1, 2, ...: no two places are equal.
coupled: digits of one significance share an id, whichever number they are in (position coupling, Cho et al. 2024,
         arXiv 2405.20671): 2 for units, 3 for the next, and so on. Operator, `=`, sign and spaces share 1.
abacus:  a digit's place within its number, 1 for units (abacus embeddings, McLeish et al. 2024, arXiv 2405.17399);
         all else has 0.

Padding has 0. What stands behind a reversed answer, its sign or `.`, goes on counting: while an answer is being
written, nobody knows whether its next token is another digit.
"""

from typing import NamedTuple

import numpy as np

from ...objectives import Batch


class Scheme(NamedTuple):
    """The ids of a scheme: of what is no digit, and of the units; a digit of significance s has `units` + s."""

    mark: int
    units: int


SCHEMES = {"coupled": Scheme(mark=1, units=2), "abacus": Scheme(mark=0, units=1)}


def with_row_offsets(batch: Batch, offsets: np.ndarray, *, zeros_too: bool) -> Batch:
    """The batch (n, T) with its position ids, by default 0 to T - 1, each row shifted by its offset (n, 1).

    An id of 0, which padding has, and in "abacus" all that is no digit, stays unless `zeros_too` are shifted.
    """
    positions = batch.positions
    if positions is None:
        positions = np.broadcast_to(np.arange(batch.tokens.shape[1]), batch.tokens.shape)  # (n, T)
    return batch._replace(positions=positions + np.where(zeros_too | (positions > 0), offsets, 0))  # (n, T)
