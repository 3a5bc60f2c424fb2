"""Writing on: one token after another, with a key/value cache."""

import numpy as np

from ..autograd import no_grad
from ..backend import RandomKey, array_module, to_numpy, uniform
from .gpt import GPT


def generate(
    model: GPT,
    prompts: np.ndarray,
    max_new_tokens: int,
    *,
    stop_token: int | None = None,
    temperature: float = 0.0,
    top_k: int | None = None,
    key: RandomKey | None = None,
) -> np.ndarray:
    """Continues each prompt, (B, Tp) int of equal lengths, by at most `max_new_tokens` tokens.

    stop_token:  a row that produced it is filled with it from there on; generation ends when all rows have
    temperature: 0 is greedy; above, tokens are drawn from softmax(logits / temperature)
    top_k:       draw among the k likeliest tokens only
    key:         names the draws; needed for a temperature above 0

    Returns the new tokens, int64 (B, at most max_new_tokens). Raises ValueError where there is no room in the context.
    """
    batch, length = prompts.shape
    if length == 0:
        raise ValueError("generate: a prompt needs at least one token")
    if length + max_new_tokens > model.config.context + 1:  # the last token is never fed back
        room = model.config.context + 1 - length
        raise ValueError(f"generate: a prompt of {length} tokens leaves room for {room}, not {max_new_tokens}")
    if temperature > 0.0 and key is None:
        raise ValueError("generate: a temperature above 0 needs a key for its draws")
    if temperature <= 0.0 and array_module(model.flat.values) is not np and max_new_tokens > 0:
        return _greedy_on_gpu(model, prompts, max_new_tokens, stop_token)
    caches = model.new_caches(batch)
    tokens = np.zeros((batch, 0), dtype=np.int64)  # (B, 0)
    done = np.zeros(batch, dtype=bool)  # (B,)
    ids = prompts
    with no_grad():
        for step in range(max_new_tokens):
            logits = model(ids, caches=caches).array[:, -1]  # (B, V)
            logits = to_numpy(logits.astype(model.flat.values.dtype, copy=False))  # (B, V), bfloat16 widened
            draw = key.at(step=step) if key else None
            following = choose_tokens(logits, temperature, top_k, draw)  # (B,)
            if stop_token is not None:
                following = np.where(done, stop_token, following)
                done |= following == stop_token
            tokens = np.concatenate([tokens, following[:, None]], axis=1)  # (B, step + 1)
            if done.all() and stop_token is not None:
                break
            ids = following[:, None]  # (B, 1)
    return tokens


def _greedy_on_gpu(model: GPT, prompts: np.ndarray, new: int, stop_token: int | None) -> np.ndarray:
    """Greedy decoding without a wait for each token; what stands behind a stop token is replaced afterwards."""
    from ..cuda.decoding import greedy_decoder  # loads what only a GPU needs

    batch, length = prompts.shape
    tokens = greedy_decoder(model, batch, length, new)(prompts)  # (B, new)
    if stop_token is None:
        return tokens
    done = np.logical_or.accumulate(tokens == stop_token, axis=1)  # (B, new), from the stop token on
    needed = new if not done[:, -1].all() else int((~done).any(axis=0).sum()) + 1  # until every row has stopped
    return np.where(done, stop_token, tokens)[:, :needed]


def choose_tokens(
    logits: np.ndarray, temperature: float = 0.0, top_k: int | None = None, key: RandomKey | None = None
) -> np.ndarray:  # (B, V) -> (B,)
    """The next token of each row: the likeliest, or drawn by Gumbel's trick (argmax of logits plus Gumbel noise)."""
    if temperature <= 0.0 or key is None:
        return logits.argmax(axis=-1)
    scaled = logits.astype(np.float64) / temperature  # (B, V)
    if top_k is not None and top_k < logits.shape[-1]:
        threshold = np.partition(scaled, -top_k, axis=-1)[:, -top_k, None]  # (B, 1)
        scaled = np.where(scaled >= threshold, scaled, -np.inf)
    noise = -np.log(-np.log(uniform(key, scaled.shape, np.float64) + 2.0**-25))  # (B, V)
    return (scaled + noise).argmax(axis=-1)
