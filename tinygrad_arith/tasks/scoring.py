"""From a model's logits to exact match, with its interval and its breakdowns.

One forward pass over whole problems is enough: the answer that greedy decoding gives is right exactly if every token
of the right answer is the most likely one after the right tokens before it. (A wrong answer may differ between the
two: greedy decoding goes on from its own mistake.)
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_numpy

Z_95 = 1.959963984540054  # the standard normal's 97.5 % quantile
FIVE = 5  # rows of a group in the measure of the Julia article, https://zenn.dev/char/articles/afdf5b9a1d46eb


class GroupScore(NamedTuple):
    """The problems of one group (a length, a position, ...): how many there are, how many were right."""

    group: int
    total: int
    correct: int


def answer_predictions(logits: Any, tokens: np.ndarray, equals: int, length: int) -> np.ndarray:
    """The most likely token at each place of the answer, given the right tokens before it.

    logits (n, T, V); tokens int64 (n, T), each row with one `equals` token, behind which the answer begins; `length`
    is that of the longest answer. Returns int64 (n, length); places beyond T hold -1.
    """
    best = most_likely(logits)  # (n, T): what is predicted at t is token t + 1
    start = (tokens == equals).argmax(axis=1)  # (n,)
    place = start[:, None] + np.arange(length)  # (n, length)
    inside = place < tokens.shape[1]
    return np.where(inside, np.take_along_axis(best, np.where(inside, place, 0), axis=1), -1)


def most_likely(logits: Any) -> np.ndarray:
    """The id of the largest of logits (..., V): int64 (...)."""
    if logits.dtype.itemsize < 4:
        logits = logits.astype(np.float32)  # (..., V): CuPy finds no largest bfloat16
    return to_numpy(logits.argmax(axis=-1))  # (...)


def exact_match(predictions: np.ndarray, answers: np.ndarray, padding: int) -> np.ndarray:
    """Which predictions (n, length) agree with the answer (n, length) up to its end: bool (n,)."""
    return np.all((predictions == answers) | (answers == padding), axis=1)


def share_in_fives(predictions: np.ndarray, answers: np.ndarray, padding: int) -> float | None:
    """The accuracy that the Julia article states: of five consecutive rows, all must be right.

    A row is one token of an answer, given the right ones before it. An answer has two to four tokens, so that a group
    of five mixes answers: this is no exact match. What is left over is not counted; None where that is all.

    predictions, answers: int64 (n, answer_length), padded behind the end of an answer.
    """
    right = (predictions == answers)[answers != padding]  # (rows,)
    whole = len(right) // FIVE * FIVE
    if whole == 0:
        return None
    return float(right[:whole].reshape(-1, FIVE).all(axis=1).mean())


def wilson_interval(correct: int, count: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval for a share of `correct` in `count`, by default of 95 %.

    Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953.

    Unlike the usual plus or minus it stays inside [0, 1] and says something at 100 %: 10000 of 10000 is 0.9996 to 1.
    """
    if count == 0:
        return 0.0, 1.0
    share = correct / count
    centre = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    low = 0.0 if correct == 0 else (centre - half) / scale
    high = 1.0 if correct == count else (centre + half) / scale
    return low, high


def by_group(correct: np.ndarray, groups: np.ndarray) -> list[GroupScore]:
    """The scores of problems with the same group number: `correct` bool (n,), `groups` int64 (n,), by rising number."""
    numbers, places = np.unique(groups, return_inverse=True)
    counts = np.bincount(places, minlength=len(numbers))
    rights = np.bincount(places[correct], minlength=len(numbers))
    return [GroupScore(int(g), int(n), int(r)) for g, n, r in zip(numbers, counts, rights, strict=True)]


def by_position(predictions: np.ndarray, answers: np.ndarray, padding: int) -> list[GroupScore]:
    """The score of each place of the answer, counted from 1 as written, over the problems whose answer has it."""
    present = answers != padding  # (n, length)
    return by_group((predictions == answers)[present], 1 + np.nonzero(present)[1])


def by_length_pair(
    correct: np.ndarray, first: np.ndarray, second: np.ndarray, longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores by the lengths of both operands (n,), each 1 to `longest`.

    Returns (correct, count), int64 (longest, longest) each: row = length of the first operand - 1.
    """
    cell = (first - 1) * longest + (second - 1)  # (n,)
    counts = np.bincount(cell, minlength=longest * longest).reshape(longest, longest)
    rights = np.bincount(cell[correct], minlength=longest * longest).reshape(longest, longest)
    return rights, counts
