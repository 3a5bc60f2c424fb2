"""Tokens as text, as it grows: characters that are not whole yet, and the beginnings of stop strings, are held back."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Decode = Callable[[np.ndarray], str]  # ids (n,) -> text

NOT_WHOLE = "\ufffd"  # what decoders give for the bytes of a character whose last byte is not there yet
LONGEST_CHARACTER = 4  # bytes in UTF-8, so at most as many tokens
BEFORE = 5  # tokens of the prompt that are decoded with the first new ones: whether a space is written may depend on it


class GrowingText:
    """What the tokens of one row say, token after token.

    decode:       the text of ids (n,)
    prompt:       (Tp,) int, what stands before
    stop_strings: the text ends before the first of them: the one that is whole first, of several the longest
    stopped:      whether it has
    """

    def __init__(self, decode: Decode, prompt: np.ndarray, stop_strings: Sequence[str] = ()):
        self.decode, self.stop_strings = decode, stop_strings
        self.ids = prompt[-BEFORE:].tolist()
        self.first, self.whole = 0, len(self.ids)  # ids from `first` on are decoded together, `whole` of them are told
        self.text, self.told = "", 0  # what the ids behind them add, and how many characters of that are told
        self.old = [0] * (LONGEST_CHARACTER - 1)  # how many of its characters stood there that many steps ago
        self.held = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """Takes a token; returns the text that is certain now."""
        self.ids.append(token)
        text, is_whole = self.new_text()
        same = common_length(self.text, text)
        old = [min(count, same) for count in self.old]
        # What may be the beginning of a character is told once so many tokens more have not completed it.
        end = len(text) if is_whole else max(len(text.rstrip(NOT_WHOLE)), old[0], self.told)
        said = text[self.told : end]
        self.text, self.told, self.old = text, end, [*old[1:], len(text)]
        if is_whole:
            self.first, self.whole = self.whole, len(self.ids)
            self.text, self.told, self.old = "", 0, [0] * len(old)
        return self.certain(self.held + said)

    def end(self) -> str:
        """What was held back, when no more tokens come."""
        rest = self.certain(self.held + self.text[self.told :])
        return rest if self.stopped else rest + self.held

    def new_text(self) -> tuple[str, bool]:
        """What the ids behind the first `whole` add, and whether it ends with a whole character.

        They are decoded with what stands before them, and that part is taken off again.
        """
        before, text = (
            decoded(self.decode, self.ids[self.first : self.whole]),
            decoded(self.decode, self.ids[self.first :]),
        )
        return text[common_length(before, text) :], not text.endswith(NOT_WHOLE)

    def certain(self, text: str) -> str:
        """The text up to a stop string, or up to what may become one; the latter is held back."""
        places = [(text.find(stop), stop) for stop in self.stop_strings]
        found = [(start + len(stop), start) for start, stop in places if start >= 0]
        if found:
            self.stopped, self.held = True, ""
            return text[: min(found)[1]]
        held = max((overlap(text, stop) for stop in self.stop_strings), default=0)
        self.held = text[len(text) - held :]
        return text[: len(text) - held]


def require_decoder(decode: Any, prompt: np.ndarray) -> None:
    """Raise TypeError for what makes no text of a prompt's end: for the call, before anything is written."""
    if not callable(decode):
        raise TypeError(
            f"generate: decode must be a function from an array of token ids (n,) to a text, not {decode!r}"
        )
    ids = prompt[-BEFORE:].tolist()
    try:
        decode(np.array(ids, dtype=np.int64))
    except Exception as error:
        raise TypeError(f"generate: decode must take an array of token ids (n,); of {ids} it says: {error}") from error
    decoded(decode, ids)


def decoded(decode: Decode, ids: Sequence[int]) -> str:
    """The text of ids. Raises TypeError where the decoder gives something else."""
    text = decode(np.array(ids, dtype=np.int64))
    if not isinstance(text, str):
        raise TypeError(f"generate: decode must make a text of an array of token ids (n,), not {type(text).__name__}")
    return text


def common_length(a: str, b: str) -> int:
    """With how many characters both texts begin."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def overlap(text: str, stop: str) -> int:
    """How many characters at the end of the text are the beginning of a stop string."""
    longest = min(len(text), len(stop) - 1)
    return next((count for count in range(longest, 0, -1) if text.endswith(stop[:count])), 0)
