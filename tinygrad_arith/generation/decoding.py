"""Writing on: one token after another, with a key/value cache, or by looking at a window anew for each."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from ..autograd import no_grad, plain_array
from ..backend import RandomKey, array_module, to_numpy, uniform
from ..ops.ids import require_ids


class Reader(Protocol):
    """Reads what is new, (B, T) int, behind what it read before; returns the logits behind the last token, (B, V)."""

    def __call__(self, ids: np.ndarray) -> Any: ...


class Generator(Protocol):
    """What generation asks of a model: `config` with `context` and `vocabulary`, flat parameters, and a reader.

    A model with a method `new_caches` (see `models/gpt.py`) is decoded on a GPU without a wait for each token.
    """

    config: Any
    flat: Any

    def reader(self, batch: int, positions: np.ndarray | None, key_mask: np.ndarray | None) -> Reader:
        """One that has read nothing yet. positions, key_mask: (B, fed) of all tokens that it will be given, or None."""
        ...


def generate(
    model: Generator,
    prompts: np.ndarray,
    max_new_tokens: int,
    *,
    positions: np.ndarray | None = None,
    key_mask: np.ndarray | None = None,
    stop_token: int | None = None,
    temperature: float = 0.0,
    top_k: int | None = None,
    key: RandomKey | None = None,
) -> np.ndarray:
    """Continues each prompt, (B, Tp) int of equal lengths, by at most `max_new_tokens` tokens.

    Arrays may lie on a GPU; they are copied to the CPU.

    positions:   (B, L) or (1, L) int with L >= Tp + max_new_tokens - 1, position ids of the prompt and, behind them, of
                 the tokens to come (the last one is never fed back); default 0, 1, 2, ...
    key_mask:    (B, L) or (1, L) bool of that length, False hides a token from all others
    stop_token:  a row that produced it is filled with it from there on; generation ends when all rows have
    temperature: 0 is greedy; above, tokens are drawn from softmax(logits / temperature)
    top_k:       draw among the k likeliest tokens only
    key:         names the draws; needed for a temperature above 0

    Returns the new tokens, int64 (B, at most max_new_tokens). Raises ValueError where there is no room in the context,
    where prompts are no rows of whole numbers, where positions or key_mask do not reach over the tokens to come, or for
    a temperature or top_k that means nothing; IndexError for a token that the model does not know.
    """
    prompts = prompt_rows(prompts, max_new_tokens)  # (B, Tp)
    batch, length = prompts.shape
    check_room(model.config.context, length, max_new_tokens)
    check_sampling(temperature, top_k, key)
    require_ids(prompts, model.config.vocabulary, "generate: tokens of a prompt")
    if max_new_tokens <= 0:
        return np.zeros((batch, 0), dtype=np.int64)
    fed = length + max_new_tokens - 1
    positions = over_rows("positions", positions, batch, fed)  # (B, fed)
    key_mask = over_rows("key_mask", key_mask, batch, fed)  # (B, fed)
    on_gpu = array_module(model.flat.values) is not np
    if temperature == 0.0 and on_gpu and hasattr(model, "new_caches"):
        return _greedy_on_gpu(model, prompts, max_new_tokens, positions, key_mask, stop_token)
    reader = model.reader(batch, positions, key_mask)

    def choose(logits: Any, step: int) -> np.ndarray:  # (B, V) -> (B,)
        """The token of a step; bfloat16 is widened."""
        logits = to_numpy(logits.astype(model.flat.values.dtype, copy=False))  # (B, V)
        return choose_tokens(logits, temperature, top_k, key.at(step=step) if key else None)

    with no_grad():
        return write_on(reader, prompts, max_new_tokens, choose, stop_token)


def write_on(
    reader: Callable[[Any], Any],
    prompts: np.ndarray,
    max_new_tokens: int,
    choose: Callable[[Any, int], np.ndarray],
    stop_token: int | None,
) -> np.ndarray:
    """Token after token, int64 (B, at most max_new_tokens), until every row has stopped.

    reader: takes the tokens that are new to it, (B, T), and returns the logits behind the last of them, (B, V)
    choose: takes these logits and the number of the step, and returns the next tokens, (B,)
    """
    tokens = np.zeros((len(prompts), 0), dtype=np.int64)  # (B, 0)
    done = np.zeros(len(prompts), dtype=bool)  # (B,)
    ids = prompts
    for step in range(max_new_tokens):
        following = choose(reader(ids), step)  # (B,)
        if stop_token is not None:
            following = np.where(done, stop_token, following)
            done |= following == stop_token
        tokens = np.concatenate([tokens, following[:, None]], axis=1)  # (B, step + 1)
        if stop_token is not None and done.all():
            break
        ids = following[:, None]  # (B, 1)
    return tokens


def prompt_rows(prompts: Any, max_new_tokens: int) -> np.ndarray:
    """The prompts as an array (B, Tp). Raises ValueError for what are no rows of tokens, or no number of new ones."""
    prompts = np.asarray(to_numpy(plain_array(prompts)))
    if prompts.ndim != 2 or prompts.dtype.kind not in "iu":
        given = f"{prompts.dtype} {prompts.shape}"
        raise ValueError(f"generate: prompts must be whole numbers (B, Tp), a row for each prompt; got {given}")
    if not isinstance(max_new_tokens, int | np.integer):
        raise ValueError(f"generate: max_new_tokens must be a whole number, not {max_new_tokens!r}")
    return prompts


def check_room(context: int, length: int, max_new_tokens: int) -> None:
    """Raise ValueError if a prompt of this length is empty, or leaves no room for so many tokens."""
    if length == 0:
        raise ValueError("generate: a prompt needs at least one token")
    room = context + 1 - length  # the last token is never fed back
    if max_new_tokens > room:
        raise ValueError(f"generate: a prompt of {length} tokens leaves room for {room}, not {max_new_tokens}")


def over_rows(name: str, array: np.ndarray | None, batch: int, length: int) -> np.ndarray | None:
    """One number for each token that the model will be fed, (batch, length); None stays None."""
    if array is None:
        return None
    array = to_numpy(plain_array(array))
    if array.ndim != 2 or array.shape[0] not in (1, batch) or array.shape[1] < length:
        raise ValueError(
            f"generate: {name} {array.shape} must be ({batch} or 1, at least {length}), to reach over the answer"
        )
    return np.ascontiguousarray(np.broadcast_to(array[:, :length], (batch, length)))


def _greedy_on_gpu(
    model: Any, prompts: np.ndarray, new: int, positions: Any, key_mask: Any, stop_token: int | None
) -> np.ndarray:
    """Greedy decoding without a wait for each token; what stands behind a stop token is replaced afterwards."""
    from ..cuda.decoding import greedy_decoder  # loads what only a GPU needs

    batch, length = prompts.shape
    decoder = greedy_decoder(model, batch, length, new, positions is not None, key_mask is not None)
    tokens = decoder(prompts, positions, key_mask)  # (B, new)
    if stop_token is None:
        return tokens
    done = np.logical_or.accumulate(tokens == stop_token, axis=1)  # (B, new), from the stop token on
    needed = new if not done[:, -1].all() else int((~done).any(axis=0).sum()) + 1  # until every row has stopped
    return np.where(done, stop_token, tokens)[:, :needed]


def choose_tokens(
    logits: np.ndarray, temperature: float = 0.0, top_k: int | None = None, key: RandomKey | None = None
) -> np.ndarray:  # (B, V) -> (B,)
    """The next token of each row: the likeliest, or drawn by Gumbel's trick (argmax of logits plus Gumbel noise).

    Any temperature will do, infinity too: then each of the `top_k` (default: all) is as likely as the others.
    Raises ValueError for a temperature or a `top_k` that means nothing, where there is no key to draw with, or to draw
    from NaN.
    """
    check_sampling(temperature, top_k, key)
    if temperature == 0.0 or key is None:
        return logits.argmax(axis=-1)
    logits = logits.astype(np.float64)  # (B, V)
    if np.isnan(logits).any():
        raise ValueError("generate: there are logits that are NaN; no token can be drawn from them")
    if top_k is not None and top_k < logits.shape[-1]:
        others = np.argsort(-logits, axis=-1, kind="stable")[:, top_k:]  # (B, V - k), the first of equals are kept
        np.put_along_axis(logits, others, -np.inf, axis=-1)
    below = distances_from_largest(logits)  # (B, V)
    with np.errstate(over="ignore", invalid="ignore"):  # a quotient too large is -inf: that token is not drawn
        scaled = np.where(np.isinf(below), below, below / temperature)  # (B, V)
    noise = -np.log(-np.log(uniform(key, scaled.shape, np.float64) + 2.0**-25))  # (B, V)
    return (scaled + noise).argmax(axis=-1)


def distances_from_largest(logits: np.ndarray) -> np.ndarray:  # (B, V)
    """Logits minus their largest: 0 for that, infinite or not, so that no temperature takes it out of the range."""
    largest = logits.max(axis=-1, keepdims=True)  # (B, 1)
    with np.errstate(invalid="ignore"):
        return np.where(logits == largest, 0.0, logits - largest)


def check_sampling(temperature: float, top_k: int | None, key: RandomKey | None) -> None:
    """Raise ValueError for a choice of tokens that means nothing."""
    if not isinstance(temperature, float | int | np.number) or not temperature >= 0.0:
        raise ValueError(f"generate: the temperature must be 0 or above, not {temperature}")
    if top_k is not None and (not isinstance(top_k, int | np.integer) or isinstance(top_k, bool) or top_k < 1):
        raise ValueError(f"generate: top_k must be a whole number from 1 on, or None for all tokens, not {top_k!r}")
    if key is not None and not isinstance(key, RandomKey):
        raise TypeError(f"generate: the key must be a RandomKey, such as RandomKey(3, 'sample'), not {key!r}")
    if temperature > 0.0 and key is None:
        raise ValueError("generate: a temperature above 0 needs a key for its draws")
