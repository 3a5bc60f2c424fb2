"""What rows of a batch are made of, for every task: next-token targets, prefixes with one next token, whole epochs."""

from functools import lru_cache

import numpy as np

from ..backend import RandomKey, random_bits


def next_token_targets(tokens: np.ndarray, bears_loss: np.ndarray, behind: int = -1) -> np.ndarray:
    """What is to be predicted at each position: the token that follows, where that one bears loss, else -1.

    tokens int64 (n, T); bears_loss bool (n, T) says of each token whether its prediction counts; `behind` is to be
    predicted at the last position, which no token follows. Returns int64 (n, T).
    """
    targets = np.full_like(tokens, -1)  # (n, T)
    targets[:, :-1] = np.where(bears_loss, tokens, -1)[:, 1:]
    targets[:, -1] = behind
    return targets


def pack(values: np.ndarray, written: np.ndarray, width: int, fill: int) -> np.ndarray:
    """What is `written`, bool (n, S), of values int64 (n, S), moved to the left, filled up to (n, width)."""
    rows = np.full((len(values), width), fill, dtype=np.int64)
    if written.all():  # the usual case, in half the time
        rows[:, : values.shape[1]] = values
        return rows
    rows[np.arange(width) < written.sum(axis=1)[:, None]] = values[written]  # both in reading order
    return rows


def packed_left(tokens: np.ndarray, padding: int, width: int | None = None) -> np.ndarray:
    """The rows of `tokens` int64 (n, S) with their padding moved to the right, and cut or filled up to (n, width)."""
    return pack(tokens, tokens != padding, tokens.shape[1] if width is None else width, padding)


def prefix_rows(
    tokens: np.ndarray, start: int | np.ndarray, places: np.ndarray, padding: int
) -> tuple[np.ndarray, np.ndarray]:
    """Whole samples cut off before one token of their answer, which is what is to be predicted.

    tokens int64 (n, W): whole samples, padded; start: where the answer begins, one number or (n,); places int64 (n,):
    which token of the answer is to be predicted, from 0 on. start + places must be below W.
    Returns tokens (n, W), padding from the predicted token on, and targets (n, 1), -1 where the answer has ended.
    """
    cut = np.broadcast_to(start + places, (len(tokens),))[:, None]  # (n, 1)
    target = np.take_along_axis(tokens, cut, axis=1)  # (n, 1)
    known = np.arange(tokens.shape[1]) < cut  # (n, W)
    return np.where(known, tokens, padding), np.where(target == padding, -1, target)


def prefix_at(ends: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which samples, and which places of their answers, some of all prefixes are, counted sample by sample.

    ends int64 (samples,): how many prefixes there are up to and including those of each sample; chosen int64 (n,), each
    below the last of `ends`. Returns rows and places, int64 (n,) each.
    """
    rows = np.searchsorted(ends, chosen, side="right")  # (n,)
    begins = np.where(rows > 0, ends[rows - 1], 0)  # (n,)
    return rows, chosen - begins


def epoch_indices(key: RandomKey, step: int, batch_size: int, size: int) -> np.ndarray:
    """The items, 0 to size - 1, of a step's batch if each item comes once an epoch, in an order drawn for each epoch.

    Epochs follow each other without a gap, so a batch may hold the end of one and the beginning of the next; a batch of
    `size` items is always all of them. A pure function of its arguments. Returns int64 (batch_size,).
    """
    place = step * batch_size + np.arange(batch_size, dtype=np.int64)  # (batch_size,), in all epochs one after another
    epoch, within = np.divmod(place, size)
    indices = np.empty(batch_size, dtype=np.int64)
    for number in np.unique(epoch):
        chosen = epoch == number
        indices[chosen] = epoch_order(key, int(number), size)[within[chosen]]
    return indices


@lru_cache(maxsize=2)  # sorting takes time, and an epoch's steps follow each other
def epoch_order(key: RandomKey, epoch: int, size: int) -> np.ndarray:
    """The order of `size` items in an epoch, int64 (size,), read-only."""
    order = np.argsort(random_bits(key.at(step=epoch), size), kind="stable")  # (size,)
    order.setflags(write=False)
    return order
