"""Writing on: one token after another, with a key/value cache, or by looking at a window anew for each."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import no_grad, plain_array
from ..backend import RandomKey, array_module, to_numpy, uniform
from ..models.gpt import GPT
from ..ops.ids import require_ids
from ..reproductions.window import WindowModel


def generate(
    model: GPT | WindowModel,
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
    if isinstance(model, WindowModel):
        reader: Callable[..., Any] = WindowReader(model, batch, positions, key_mask)
    elif temperature == 0.0 and array_module(model.flat.values) is not np:
        return _greedy_on_gpu(model, prompts, max_new_tokens, positions, key_mask, stop_token)
    else:
        reader = CachedReader(model, batch, positions, key_mask)

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


class CachedReader:
    """Calls a GPT with what is new; its caches hold what came before. positions, key_mask: (B, fed) or None."""

    def __init__(self, model: GPT, batch: int, positions: Any, key_mask: Any):
        self.model, self.positions, self.key_mask = model, positions, key_mask
        self.caches = model.new_caches(batch)

    def __call__(self, ids: Any) -> Any:  # (B, T) -> (B, V)
        """The logits behind the last of the new tokens."""
        options = new_part(self.positions, self.key_mask, self.caches[0].length, ids.shape[1])
        return self.model(ids, **options, caches=self.caches).array[:, -1]


def new_part(positions: Any, key_mask: Any, start: int, count: int) -> dict[str, Any]:
    """What a model with caches that hold `start` tokens takes beside `count` new ones: their positions, and the mask of
    all tokens so far.
    """
    return {
        "positions": None if positions is None else positions[:, start : start + count],  # (B, count)
        "key_mask": None if key_mask is None else key_mask[:, : start + count],  # (B, start + count)
    }


class WindowReader:
    """Writes what is new into a window model's window. positions, key_mask: (B, fed) or None."""

    def __init__(self, model: WindowModel, batch: int, positions: Any, key_mask: Any):
        shape = batch, model.config.context
        self.model, self.filled = model, 0
        self.window = np.full(shape, model.config.padding, dtype=np.int64)  # (B, W)
        # Behind what will be written the window is padding: position 0, hidden.
        self.positions = None if positions is None else padded(positions, shape)  # (B, W)
        self.key_mask = None if key_mask is None else padded(key_mask, shape)  # (B, W)

    def __call__(self, ids: np.ndarray) -> Any:  # (B, T) -> (B, V)
        """The logits behind all tokens so far."""
        end = self.filled + ids.shape[1]
        self.window[:, self.filled : end] = ids
        self.filled = end
        return self.model(self.window, positions=self.positions, key_mask=self.key_mask).array[:, 0]


def padded(array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The array at the left of one of zeros of this shape."""
    wide = np.zeros(shape, array.dtype)  # (B, W)
    wide[:, : array.shape[1]] = array
    return wide


def _greedy_on_gpu(
    model: GPT, prompts: np.ndarray, new: int, positions: Any, key_mask: Any, stop_token: int | None
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
