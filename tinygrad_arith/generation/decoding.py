"""Writing on: one token after another, as an array, as texts, or piece by piece."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..backend import RandomKey
from .choosing import require_tokens, simple_samplers
from .prompts import check_count, prompt_rows
from .readers import Generator
from .request import StopTokens, checked_strings, make_request, stop_tokens
from .samplers import Sampler
from .steps import written
from .text import Decode, GrowingText, require_decoder


class Piece(NamedTuple):
    """What one step adds to one row.

    row:   prompt * samples + sample
    token: its token, a stop token too
    text:  what is certain of the text now; "" without `decode`. All of a row's together are its text
    ended: why the row ends with this token, None if it goes on: "stop token", "stop string", "max_tokens", "context"
    """

    row: int
    token: int
    text: str
    ended: str | None


@dataclass(frozen=True, eq=False)
class Continuation:
    """What was written behind a prompt.

    prompt: the number of the prompt
    tokens: int64 (n,), a stop token at the end included
    text:   without the stop token and the stop string; "" without `decode`
    ended:  as in `Piece`
    """

    prompt: int
    tokens: np.ndarray
    text: str
    ended: str


def generate(
    model: Generator,
    prompts: Any,
    max_tokens: int,
    *,
    positions: Any = None,
    key_mask: Any = None,
    stop_token: StopTokens = None,
    temperature: float | None = None,
    top_k: int | None = None,
    samplers: Iterable[Sampler] | None = None,
    samples: int = 1,
    key: RandomKey | None = None,
) -> np.ndarray:
    """Continues each prompt by at most `max_tokens` tokens; the tokens as one array, for programs.

    Arrays may lie on a GPU; they are copied to the CPU.

    prompts:     (P, Tp) int, or a list of P rows of any lengths
    positions:   (P, L) or (1, L) int with L >= Tp + max_tokens - 1, position ids of the prompt and, behind them, of the
                 tokens to come (the last one is never fed back); default 0, 1, 2, ... in every prompt
    key_mask:    (P, L) or (1, L) bool of that length, False hides a token from all others
    stop_token:  one or several. A row that produced one is filled with it from there on; generation ends when all rows
                 have
    key:         names the draws, RandomKey(seed, purpose); without one the likeliest token is taken, and what is for
                 draws is refused. A row's draw at step s is that of `key.at(step=s)`
    temperature: tokens are drawn from softmax(logits / temperature), by default 1; 0 takes the likeliest
    top_k:       draw among the k likeliest tokens only
    samplers:    in place of temperature and top_k: what is done with the logits, in this order (`usual_samplers`)
    samples:     continuations of each prompt, which is read once

    Returns the new tokens, int64 (P * samples, at most max_tokens), the samples of a prompt one below the other. Raises
    ValueError where there is no room in the context, where prompts are no rows of whole numbers, where positions or
    key_mask do not reach over the tokens to come or prompts of unequal lengths have any, for a number that means
    nothing, and where logits are NaN or samplers leave no token; IndexError for a token or a position that the model
    does not know; TypeError for what is no model, sampler or key.
    """
    check_count("max_tokens", max_tokens, 0)
    if samplers is None:
        samplers, key = simple_samplers(temperature, top_k), None if temperature == 0.0 else key
    elif temperature is not None or top_k is not None:
        raise ValueError("generate: give samplers, or temperature and top_k, not both")
    request = make_request(model, prompts, max_tokens, positions, key_mask, samplers, samples, key)
    stops = stop_tokens(stop_token, model.config.vocabulary)
    columns: list[np.ndarray] = []
    stopped = np.zeros(request.rows, dtype=bool)  # (B,)
    for step, tokens in enumerate(written(request)):  # (B,)
        require_tokens(tokens, ~stopped, step)
        columns.append(tokens)
        stopped |= among(tokens, stops)
        if stopped.all():
            break
    empty = np.zeros((request.rows, 0), dtype=np.int64)  # (B, 0)
    return filled_up(np.stack(columns, axis=1), stops) if columns else empty


def stream(
    model: Generator,
    prompts: Any,
    max_tokens: int | None = None,
    *,
    decode: Decode | None = None,
    stop_token: StopTokens = None,
    stop_strings: Iterable[str] | None = None,
    samplers: Iterable[Sampler] | None = None,
    samples: int = 1,
    key: RandomKey | None = None,
) -> Iterator[Piece]:
    """The same, step by step: yields a piece for each row that is still written, as soon as it is there.

    max_tokens:   None: as many as the context has room for, in each row
    decode:       makes text of token ids (n,). A character whose bytes are not all there yet is held back, and so is
                  what may become a stop string
    stop_strings: a row's text ends before the first of them, however its tokens are cut: the one that is whole first,
                  of several the longest. They need `decode`

    The other arguments and the errors are those of `generate`; errors are raised by the call itself.
    """
    return pieces(
        model, prompts, max_tokens, decode, stop_token, stop_strings, samplers, samples, key, token_by_token=True
    )


def complete(
    model: Generator,
    prompts: Any,
    max_tokens: int | None = None,
    *,
    decode: Decode | None = None,
    stop_token: StopTokens = None,
    stop_strings: Iterable[str] | None = None,
    samplers: Iterable[Sampler] | None = None,
    samples: int = 1,
    key: RandomKey | None = None,
) -> list[Continuation]:
    """The same, whole: the continuations of all prompts, the samples of a prompt one behind the other."""
    said = pieces(
        model, prompts, max_tokens, decode, stop_token, stop_strings, samplers, samples, key, token_by_token=False
    )
    of_row: dict[int, list[Piece]] = {}
    for piece in said:
        of_row.setdefault(piece.row, []).append(piece)
    rows = samples * len(prompt_rows(prompts)[0])
    return [continuation(row // samples, of_row.get(row, [])) for row in range(rows)]


def continuation(prompt: int, found: list[Piece]) -> Continuation:
    """The pieces of a row put together."""
    tokens = np.array([piece.token for piece in found], dtype=np.int64)  # (n,)
    ended = found[-1].ended if found else "max_tokens"
    assert ended is not None
    return Continuation(prompt, tokens, "".join(piece.text for piece in found), ended)


def pieces(
    model: Any,
    prompts: Any,
    max_tokens: int | None,
    decode: Decode | None,
    stop_token: StopTokens,
    stop_strings: Iterable[str] | None,
    samplers: Iterable[Sampler] | None,
    samples: int,
    key: RandomKey | None,
    *,
    token_by_token: bool,
) -> Iterator[Piece]:
    """What `stream` and `complete` are made of: arguments are looked at now, tokens written as they are asked for."""
    request = make_request(model, prompts, max_tokens, None, None, samplers, samples, key)
    stops, strings = stop_tokens(stop_token, model.config.vocabulary), checked_strings(stop_strings, decode)
    ids, lengths, *_ = request.prompts
    rows = []
    for row, limit in enumerate(request.limits.tolist()):
        prompt = ids[row // samples][ids.shape[1] - lengths[row // samples] :]  # (n,)
        if decode is not None and row % samples == 0:
            require_decoder(decode, prompt)
        text = None if decode is None else GrowingText(decode, prompt, strings)
        rows.append(Row(row, limit, request.ended, stops, text))
    return told(rows, written(request, token_by_token))


def told(rows: "list[Row]", steps: Iterator[np.ndarray]) -> Iterator[Piece]:
    """The pieces of rows until all have ended."""
    for step, tokens in enumerate(steps):  # (B,)
        require_tokens(tokens, [row.number for row in rows], step)
        yield from [row.take(int(tokens[row.number])) for row in rows]
        rows = [row for row in rows if row.ended is None]
        if not rows:
            return


class Row:
    """One row while it is written: what ends it, and its text if there is a decoder."""

    def __init__(self, number: int, limit: int, at_limit: str, stops: np.ndarray, text: GrowingText | None):
        self.number, self.limit, self.at_limit, self.stops, self.text = number, limit, at_limit, stops, text
        self.count = 0
        self.ended: str | None = None

    def take(self, token: int) -> Piece:
        """The next token."""
        self.count += 1
        at_stop = token in self.stops
        said = "" if self.text is None or at_stop else self.text.add(token)
        if at_stop:
            self.ended = "stop token"
        elif self.text is not None and self.text.stopped:
            self.ended = "stop string"
        elif self.count == self.limit:
            self.ended = self.at_limit
        if self.ended and self.text is not None and not self.text.stopped:
            said += self.text.end()
            self.ended = "stop string" if self.text.stopped else self.ended
        return Piece(self.number, token, said, self.ended)


def among(tokens: np.ndarray, stops: np.ndarray) -> np.ndarray:  # (...) -> bool (...)
    """Which tokens are stop tokens. (`numpy.isin` takes five times as long for a few.)"""
    return (tokens[..., None] == stops).any(axis=-1)


def filled_up(tokens: np.ndarray, stops: np.ndarray) -> np.ndarray:  # (B, n) -> (B, at most n)
    """Each row filled with its stop token behind it, and cut where all rows have stopped."""
    if not len(stops) or not tokens.size:
        return tokens
    found = among(tokens, stops)  # (B, n)
    stopped = found.any(axis=1)  # (B,)
    ends = np.where(stopped, found.argmax(axis=1), tokens.shape[1] - 1)  # (B,)
    fill = np.take_along_axis(tokens, ends[:, None], axis=1)  # (B, 1)
    behind = np.arange(tokens.shape[1]) > ends[:, None]  # (B, n)
    return np.where(behind, fill, tokens)[:, : ends.max() + 1 if stopped.all() else None]
