"""The tokens that a model knows, and their ids."""

import numpy as np

from ..options.words import shortened

PADDING, END = "_", "."
NO_TOKEN = -1  # the id of padding where a vocabulary has none: no token equals it


class Vocabulary:
    """Tokens of one character each or, where a space separates them in a text, of several.

    A token's id is its place in `tokens`.

    padding:   the id of `_`, which fills a row up; -1 where the vocabulary has no such token
    end:       the id of `.`, which ends an answer; None where the vocabulary has no such token
    separator: what stands between two tokens of a text: "" or " "
    """

    def __init__(self, tokens: tuple[str, ...], separator: str = ""):
        if separator not in ("", " "):
            raise ValueError(f"vocabulary: the separator is {separator!r}, but must be '' or ' '")
        if len(set(tokens)) != len(tokens):
            raise ValueError(f"vocabulary {tokens!r}: tokens must be distinct")
        if not separator and any(len(token) != 1 for token in tokens):
            raise ValueError(f"vocabulary {tokens!r}: tokens must be single characters, or be separated by ' '")
        if separator and any(token.split() != [token] for token in tokens):
            raise ValueError(f"vocabulary {tokens!r}: tokens separated by ' ' must not be empty or hold a space")
        self.tokens = tokens
        self.separator = separator
        self.ids = {token: index for index, token in enumerate(tokens)}
        self.padding = self.ids.get(PADDING, NO_TOKEN)
        self.end = self.ids.get(END)

    def __len__(self) -> int:
        return len(self.tokens)

    def split(self, text: str) -> list[str]:
        """The text cut into what should be tokens."""
        return text.split() if self.separator else list(text)

    def encode(self, text: str) -> np.ndarray:
        """The token ids of a text, int64 (n,).

        Raises ValueError naming the first thing that is not a token, and its position, counted from 1.
        """
        words = self.split(text)
        for position, word in enumerate(words, start=1):
            if word not in self.ids:
                raise ValueError(
                    f"{shortened(word)!r} at position {position} is not in the vocabulary: allowed are {self.listed()}"
                )
        return np.array([self.ids[word] for word in words], dtype=np.int64)  # (n,)

    def listed(self) -> str:
        """The tokens for an error message; of very many, the first few and the last."""
        shown = [repr(token) for token in self.tokens]
        if len(shown) > 40:
            shown[3:-3] = ["..."]
        return " ".join(shown)

    def decode(self, ids: np.ndarray) -> str:
        """The text of token ids (n,). Raises ValueError for an id that is not in the vocabulary."""
        ids = np.asarray(ids)
        unknown = ids[(ids < 0) | (ids >= len(self))]
        if unknown.size:
            raise ValueError(f"token id {unknown.flat[0]}: ids are 0 to {len(self) - 1}")
        return self.separator.join(self.tokens[index] for index in ids)
