"""The choice of the next token: the likeliest, or drawn; here with NumPy, in cuda/sampling.py by kernels.

Tokens are drawn by Gumbel's trick: the argmax of logits plus Gumbel noise is a draw from their softmax. It is chosen
before a search in the summed probabilities because small errors of the logits hardly ever change the token: a CPU and a
GPU, whose products round differently, write the same text from the same seed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import plain_array
from ..backend import RandomKey, to_numpy, uniform
from .samplers import Counts, Sampler, Temperature, TopK, checked_result, counts_of, distances_from_largest

NAN, NONE_LEFT = -1, -2  # what stands for the token of a row with NaN, and of one without a token that may be drawn


class HostChooser:
    """Chooses the next token of each row, (B, V) -> (B,), by the samplers and a key; without a key the likeliest.

    prompts: (B, Tp) int, and `seen` (B, Tp) bool or None, which of them are tokens and not padding
    """

    def __init__(
        self, samplers: Sequence[Sampler], key: RandomKey | None, prompts: np.ndarray, seen: Any, vocabulary: int
    ):
        self.samplers, self.key = samplers, key
        self.counts = counts_of(prompts, seen, vocabulary) if samplers else None

    def __call__(self, logits: Any, step: int) -> np.ndarray:  # (B, V) -> (B,)
        """The tokens of a step, as `choose` gives them."""
        logits = np.asarray(to_numpy(logits.astype(np.result_type(np.float32, logits.dtype), copy=False)))  # (B, V)
        tokens = choose(logits, self.samplers, self.counts, self.key and self.key.at(step=step))  # (B,)
        if self.counts is not None:
            rows = np.flatnonzero(tokens >= 0)
            self.counts.written[rows, tokens[rows]] += 1
        return tokens


def choose(
    logits: np.ndarray, samplers: Sequence[Sampler], counts: Counts | None, key: RandomKey | None
) -> np.ndarray:  # (B, V) -> (B,)
    """One token a row: what samplers leave of the logits, then the likeliest or, with a key, a draw.

    NAN for a row where logits are NaN, as they come or behind any sampler, and NONE_LEFT where all are -infinity: what
    a row is after its end does not matter to anybody, so only `require_tokens` raises. Raises ValueError for what a
    sampler returns if it is not of the logits' form.
    """
    marks = marks_of(logits)  # (B,)
    if samplers or key is not None:
        logits = logits.astype(np.float64)  # (B, V)
    for sampler in samplers:
        assert counts is not None
        if marks.any():
            logits = np.where(marks[:, None] == 0, logits, 0.0)  # (B, V); samplers need not know of such rows
        logits = checked_result(sampler, sampler(logits, counts), logits.shape)  # (B, V)
        marks = np.where(marks == 0, marks_of(logits), marks)  # (B,)
    if key is not None:
        logits = distances_from_largest(logits) + gumbel(key, logits.shape)  # (B, V)
    return np.where(marks == 0, logits.argmax(axis=-1), marks)


def marks_of(logits: np.ndarray) -> np.ndarray:  # (B, V) -> (B,)
    """NAN, NONE_LEFT, or 0 for rows that a token can be chosen from."""
    largest = logits.max(axis=-1)  # (B,), NaN where there is one
    return np.where(np.isnan(largest), NAN, np.where(largest == -np.inf, NONE_LEFT, 0))


def require_tokens(tokens: np.ndarray, rows: Any, step: int = 0) -> None:  # (B,) and which of them matter
    """Raise ValueError for a row without a token: see `choose`."""
    numbers = np.arange(len(tokens))[rows]
    for row in numbers[tokens[numbers] < 0].tolist():
        where = f"row {row} at step {step}"
        if tokens[row] == NAN:
            raise ValueError(f"generate: there are logits that are NaN; no token can be drawn from them ({where})")
        raise ValueError(f"generate: samplers leave no token in {where}: all its logits are -infinity")


def gumbel(key: RandomKey, shape: tuple[int, ...]) -> np.ndarray:
    """Gumbel noise, -log(-log u) of u in (0, 1), float64."""
    return -np.log(-np.log(uniform(key, shape, np.float64) + 2.0**-25))


def choose_tokens(
    logits: Any, temperature: float = 0.0, top_k: int | None = None, key: RandomKey | None = None
) -> np.ndarray:  # (B, V) -> (B,)
    """The next token of each row: the likeliest, or drawn with a temperature among the `top_k` likeliest.

    Any temperature will do, infinity too: then each of the `top_k` (default: all) is as likely as the others.
    Raises ValueError for logits that are no rows of numbers or leave no token, for a temperature or a `top_k` that
    means nothing, or where there is no key to draw with.
    """
    logits = np.asarray(to_numpy(plain_array(logits)))  # (B, V)
    if logits.ndim != 2 or not logits.shape[1] or logits.dtype.kind not in "fiu":
        raise ValueError(
            f"choose_tokens: logits must be numbers (B, V), V at least 1; got {logits.dtype} {logits.shape}"
        )
    samplers = simple_samplers(temperature, top_k)
    require_key(samplers, key)
    key = None if temperature == 0.0 else key
    tokens = choose(logits, samplers, counts_of(np.zeros((0, 0), int), None, 0), key)  # (B,)
    require_tokens(tokens, slice(None))
    return tokens


def simple_samplers(temperature: float | None, top_k: int | None) -> tuple[Sampler, ...]:
    """The samplers of a temperature and a `top_k`, none for temperature 0. Raises ValueError for what means nothing."""
    samplers: tuple[Sampler, ...] = () if top_k is None else (TopK(top_k),)
    samplers += () if temperature is None else (Temperature(temperature),)
    return () if temperature == 0.0 else samplers


def require_key(samplers: Sequence[Any], key: RandomKey | None) -> None:
    """Raise TypeError for what is no key, ValueError where there is none and samplers are made for draws."""
    if key is not None and not isinstance(key, RandomKey):
        raise TypeError(f"generate: the key must be a RandomKey, such as RandomKey(3, 'sample'), not {key!r}")
    if key is not None or Temperature(0) in samplers:
        return
    for sampler in samplers:
        if getattr(sampler, "is_for_draws", False):
            raise ValueError(
                f"generate: {sampler} needs a key for its draws, such as key=RandomKey(3, 'sample'); to take the "
                "likeliest token say Temperature(0)"
            )
