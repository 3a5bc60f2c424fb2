"""The characters that a model knows, and their token ids."""

import numpy as np


class Vocabulary:
    """Tokens of one character each; a token's id is its place in `tokens`. The first token is padding."""

    def __init__(self, tokens: tuple[str, ...]):
        if len(set(tokens)) != len(tokens) or any(len(token) != 1 for token in tokens):
            raise ValueError(f"vocabulary {tokens!r}: tokens must be distinct single characters")
        self.tokens = tokens
        self.ids = {token: index for index, token in enumerate(tokens)}
        self.padding = 0

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> np.ndarray:
        """The token ids of a text, int64 (n,).

        Raises ValueError naming the first character that is not a token, and its position, counted from 1.
        """
        for position, character in enumerate(text, start=1):
            if character not in self.ids:
                allowed = " ".join(repr(token) for token in self.tokens)
                raise ValueError(
                    f"{character!r} at position {position} is not in the vocabulary: allowed are {allowed}"
                )
        return np.array([self.ids[character] for character in text], dtype=np.int64)  # (n,)

    def decode(self, ids: np.ndarray) -> str:
        """The text of token ids (n,). Raises ValueError for an id that is not in the vocabulary."""
        ids = np.asarray(ids)
        unknown = ids[(ids < 0) | (ids >= len(self))]
        if unknown.size:
            raise ValueError(f"token id {unknown.flat[0]}: ids are 0 to {len(self) - 1}")
        return "".join(self.tokens[index] for index in ids)
