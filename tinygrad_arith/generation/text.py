"""Tokens as text, as it grows: characters that are not whole yet, and the beginnings of stop strings, are held back."""

from collections.abc import Callable, Sequence

import numpy as np

Decode = Callable[[np.ndarray], str]  # ids (n,) -> text

NOT_WHOLE = "\ufffd"  # what decoders give for the bytes of a character whose last byte is not there yet
LONGEST_CHARACTER = 4  # bytes in UTF-8, so at most as many tokens
BEFORE = 5  # tokens of the prompt that are decoded with the first new ones: whether a space is written may depend on it


class GrowingText:
    """What the tokens of one row say, token after token.

    decode:       the text of ids (n,)
    prompt:       (Tp,) int, what stands before
    stop_strings: the text ends before the first of them
    stopped:      whether it has
    """

    def __init__(self, decode: Decode, prompt: np.ndarray, stop_strings: Sequence[str] = ()):
        self.decode, self.stop_strings = decode, stop_strings
        self.ids = prompt[-BEFORE:].tolist()
        self.first, self.said = 0, len(self.ids)  # ids from `first` on are decoded together, before `said` are told
        self.held = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """Takes a token; returns the text that is certain now."""
        self.ids.append(token)
        whole = self.new_text()
        if whole.endswith(NOT_WHOLE) and len(self.ids) - self.said < LONGEST_CHARACTER:
            return ""  # the next token may complete it
        self.first, self.said = self.said, len(self.ids)
        return self.certain(self.held + whole)

    def end(self) -> str:
        """What was held back, when no more tokens come."""
        rest = self.certain(self.held + self.new_text()) + ("" if self.stopped else self.held)
        self.held, self.said = "", len(self.ids)
        return rest

    def new_text(self) -> str:
        """What the ids behind `said` add: decoded with what stands before them, and that part taken off again."""
        before = self.decode(np.array(self.ids[self.first : self.said], dtype=np.int64))
        whole = self.decode(np.array(self.ids[self.first :], dtype=np.int64))
        return whole[common_length(before, whole) :]

    def certain(self, text: str) -> str:
        """The text up to a stop string, or up to what may become one; the latter is held back."""
        found = [place for place in map(text.find, self.stop_strings) if place >= 0]
        if found:
            self.stopped, self.held = True, ""
            return text[: min(found)]
        held = max((overlap(text, stop) for stop in self.stop_strings), default=0)
        self.held = text[len(text) - held :]
        return text[: len(text) - held]


def common_length(a: str, b: str) -> int:
    """With how many characters both texts begin."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def overlap(text: str, stop: str) -> int:
    """How many characters at the end of the text are the beginning of a stop string."""
    longest = min(len(text), len(stop) - 1)
    return next((count for count in range(longest, 0, -1) if text.endswith(stop[:count])), 0)
