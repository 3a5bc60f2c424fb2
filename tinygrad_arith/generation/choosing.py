"""The choice of the next token: the likeliest, or drawn; here with NumPy, in cuda/sampling.py by kernels.

Tokens are drawn by Gumbel's trick: the argmax of logits plus Gumbel noise is a draw from their softmax. It is chosen
before a search in the summed probabilities because small errors of the logits hardly ever change the token: a CPU and a
GPU, whose products round differently, write the same text from the same seed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import RandomKey, to_numpy, uniform
from .samplers import Counts, Sampler, Temperature, TopK, counts_of, distances_from_largest

NAN = "generate: there are logits that are NaN; no token can be drawn from them"


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
        """The tokens of a step. Raises ValueError where samplers or draws meet NaN."""
        logits = np.asarray(to_numpy(logits.astype(np.result_type(np.float32, logits.dtype), copy=False)))  # (B, V)
        if self.counts is None and self.key is None:
            return logits.argmax(axis=-1)
        tokens = choose(logits, self.samplers, self.counts, self.key and self.key.at(step=step))  # (B,)
        if self.counts is not None:
            self.counts.written[np.arange(len(tokens)), tokens] += 1
        return tokens


def choose(
    logits: np.ndarray, samplers: Sequence[Sampler], counts: Counts | None, key: RandomKey | None
) -> np.ndarray:  # (B, V) -> (B,)
    """One token a row: what samplers leave of the logits, then the likeliest or, with a key, a draw."""
    logits = logits.astype(np.float64)  # (B, V)
    if np.isnan(logits).any():
        raise ValueError(NAN)
    for sampler in samplers:
        assert counts is not None
        logits = sampler(logits, counts)  # (B, V)
    if key is None:
        return logits.argmax(axis=-1)
    return (distances_from_largest(logits) + gumbel(key, logits.shape)).argmax(axis=-1)


def gumbel(key: RandomKey, shape: tuple[int, ...]) -> np.ndarray:
    """Gumbel noise, -log(-log u) of u in (0, 1), float64."""
    return -np.log(-np.log(uniform(key, shape, np.float64) + 2.0**-25))


def choose_tokens(
    logits: np.ndarray, temperature: float = 0.0, top_k: int | None = None, key: RandomKey | None = None
) -> np.ndarray:  # (B, V) -> (B,)
    """The next token of each row: the likeliest, or drawn with a temperature among the `top_k` likeliest.

    Any temperature will do, infinity too: then each of the `top_k` (default: all) is as likely as the others.
    Raises ValueError for a temperature or a `top_k` that means nothing, where there is no key to draw with, or to draw
    from NaN.
    """
    samplers = simple_samplers(temperature, top_k, key)
    if temperature == 0.0:
        return logits.argmax(axis=-1)
    return choose(logits, samplers, counts_of(np.zeros((0, 0), int), None, 0), key)


def simple_samplers(temperature: float, top_k: int | None, key: RandomKey | None) -> tuple[Sampler, ...]:
    """The samplers of a temperature and a `top_k`, none for temperature 0. Raises ValueError for what means nothing."""
    samplers = ((TopK(top_k),) if top_k is not None else ()) + (Temperature(temperature),)
    check_key(key)
    if temperature > 0.0 and key is None:
        raise ValueError("generate: a temperature above 0 needs a key for its draws")
    return samplers if temperature > 0.0 else ()


def check_key(key: RandomKey | None) -> None:
    """Raise TypeError for what is no key."""
    if key is not None and not isinstance(key, RandomKey):
        raise TypeError(f"generate: the key must be a RandomKey, such as RandomKey(3, 'sample'), not {key!r}")
