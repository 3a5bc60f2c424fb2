"""Prompts as rows of one array: of equal lengths as they are, of unequal ones with padding at the left.

At the left, since the logits behind every prompt then stand in the last column. The padding is hidden by the key mask,
and positions are counted from each prompt's first token on: so a row is written on as if it were alone.
"""

from typing import Any, NamedTuple

import numpy as np

from ..autograd import plain_array
from ..backend import to_numpy
from ..ops.ids import require_ids

HIDDEN = 0  # the id that padding has; any would do, nobody sees it


class Prompts(NamedTuple):
    """P prompts, `Tp` the longest one's tokens, and what goes with them and with the tokens to come.

    ids:                 int64 (P, Tp)
    lengths:             int64 (P,)
    positions, key_mask: (P, fed) int and bool, or None; fed = Tp + new - 1: the last token is never fed back
    """

    ids: np.ndarray
    lengths: np.ndarray
    positions: np.ndarray | None
    key_mask: np.ndarray | None

    @property
    def seen(self) -> np.ndarray | None:
        """Which tokens of `ids` are not hidden, (P, Tp); None where all are."""
        return None if self.key_mask is None else self.key_mask[:, : self.ids.shape[1]]


def prompt_rows(prompts: Any) -> tuple[np.ndarray, np.ndarray]:
    """The prompts as an array (P, Tp) with padding at the left, and their lengths (P,).

    Raises ValueError for what are no rows of tokens, or for a prompt without any.
    """
    if isinstance(prompts, list | tuple) and all(hasattr(row, "__len__") for row in prompts):
        rows = [one_prompt(row, prompts) for row in prompts]
        lengths = np.array([len(row) for row in rows], np.int64)  # (P,)
        ids = np.full((len(rows), lengths.max(initial=0)), HIDDEN, np.int64)  # (P, Tp)
        for row, tokens in zip(ids, rows, strict=True):
            row[len(row) - len(tokens) :] = tokens
    else:
        ids = np.asarray(to_numpy(plain_array(prompts)))
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise ValueError(wrong_prompts(f"{ids.dtype} {ids.shape}"))
        lengths = np.full(len(ids), ids.shape[1])  # (P,)
    for row in np.flatnonzero(lengths == 0).tolist():
        raise ValueError(f"generate: a prompt needs at least one token, and prompt {row} has none")
    return ids, lengths


def one_prompt(row: Any, prompts: Any) -> np.ndarray:
    """A row of tokens, (n,)."""
    tokens = np.asarray(to_numpy(plain_array(row)))
    if tokens.ndim != 1 or (tokens.size and tokens.dtype.kind not in "iu"):
        raise ValueError(wrong_prompts(f"{len(prompts)} rows, one of them {tokens.dtype} {tokens.shape}"))
    return tokens


def wrong_prompts(given: str) -> str:
    """The sentence about what are no rows of tokens."""
    return f"generate: prompts must be whole numbers (B, Tp), a row for each prompt; got {given}"


def require_known(ids: np.ndarray, lengths: np.ndarray, vocabulary: int) -> None:
    """Raise IndexError for tokens (P, Tp) that the model does not know, with the number of their prompt."""
    for row in np.flatnonzero(((ids < 0) | (ids >= vocabulary)).any(axis=1))[:1].tolist():
        tokens = ids[row, ids.shape[1] - lengths[row] :]  # (n,)
        require_ids(tokens, vocabulary, f"generate, prompt {row}: tokens of a prompt")


def check_count(name: str, value: Any, least: int) -> None:
    """Raise ValueError for what is no number of tokens or samples."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise ValueError(f"generate: {name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"generate: {name} must be a whole number from {least} on, not {value}")


def check_room(context: int, length: int, new: int) -> None:
    """Raise ValueError if a prompt of this length leaves no room for so many tokens."""
    room = context + 1 - length  # the last token is never fed back
    if room < 0:
        raise ValueError(f"generate: a prompt of {length} tokens does not fit into the model's context of {context}")
    if new > room:
        raise ValueError(
            f"generate: a prompt of {length} tokens leaves room for {room}, not {new}, in a context of {context}"
        )


def padded_prompts(ids: np.ndarray, lengths: np.ndarray, fed: int, context: int) -> Prompts:
    """Rows with padding at the left, with their positions and key masks, (P, fed).

    A row that has come to the context's end waits at the last position for the others.
    """
    places = np.arange(fed) - (ids.shape[1] - lengths)[:, None]  # (P, fed), negative on padding
    return Prompts(ids, lengths, np.clip(places, 0, context - 1), places >= 0)


def over_rows(name: str, array: Any, batch: int, length: int) -> np.ndarray | None:
    """One number for each token that the model will be fed, (batch, length); None stays None."""
    if array is None:
        return None
    array = to_numpy(plain_array(array))
    if array.ndim != 2 or array.shape[0] not in (1, batch) or array.shape[1] < length:
        raise ValueError(
            f"generate: {name} {array.shape} must be ({batch} or 1, at least {length}), to reach over the answer"
        )
    return np.ascontiguousarray(np.broadcast_to(array[:, :length], (batch, length)))
