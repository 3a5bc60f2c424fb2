"""How two numbers and a result become a row of tokens: `1011+110=00001.`, and the position id of each token.

- order "reversed" writes all three numbers least significant digit first, so that a model meets each digit of a sum
  when it knows all that the digit depends on; "plain" writes the most significant digit first; "reversed-answer" writes
  the operands plain and the result reversed.
- padding "zero" writes as many digits as the longest operands have, and as many of the result as those can make; every
  row then has the same length. "longer" does so for the longer of the two operands at hand. "none" writes each number
  as long as it is. Rows are filled up with padding tokens.
- spaces: `1011 + 110 = 00001.`; the answer begins with the space behind the `=`.
- sign: a task whose results may be negative writes `+` or `-` with every answer, behind its digits ("last", in writing
  direction) or before them ("first"): `01+11=01-.` is 2 - 3 = -1.
- prompt_width: padding between the operands and the `=`, so that it stands at the same place in every row.
"""

from typing import NamedTuple

import numpy as np

from ..rows import at_least
from ..vocabulary import Vocabulary
from .digits import significant_lengths
from .options import NumberOptions
from .positions import SCHEMES

# Padding, then the order of the ids in the articles that the tasks are from.
BINARY_TOKENS = ("_", " ", "0", "1", "+", "=", ".")
DECIMAL_TOKENS = ("_", "+", "*", "=", *"0123456789", "(", ")", ".")


def vocabulary_of_numbers(base: int, symbol: str, signed: bool, spaces: bool) -> Vocabulary:
    """The tokens of a published vocabulary, with those behind them that it has not but the task needs."""
    published = BINARY_TOKENS if base == 2 else DECIMAL_TOKENS
    needed = [symbol, *("+-" if signed else ""), *(" " if spaces else "")]
    return Vocabulary(tuple(dict.fromkeys([*published, *needed])))


class Piece(NamedTuple):
    """A piece of every row, of w tokens; all are int64 (n, w), `written` is bool.

    tokens:  token ids
    ids:     position ids
    written: which of the tokens are written at all
    """

    tokens: np.ndarray
    ids: np.ndarray
    written: np.ndarray


class Rows(NamedTuple):
    """Written samples: token and position ids, int64 (n, T) each; padding has position 0."""

    tokens: np.ndarray
    ids: np.ndarray


class Layout:
    """Writes samples of one task. Operands are digit arrays (n, D), least significant digit first, D = `width`.

    result_widths: int64 (D + 1,), how many digits the result of two operands of that many digits has room for
    prompt_width:  the most tokens up to and without `=`
    answer_length: the most tokens of an answer, from behind the `=` to the `.`
    needed:        positions of the longest sample
    """

    def __init__(self, config: NumberOptions, vocabulary: Vocabulary, symbol: str, signed: bool, widths: np.ndarray):
        """Raises ValueError if `prompt_width` or `context` of the configuration are too small for a sample."""
        self.config, self.vocabulary, self.symbol, self.signed = config, vocabulary, symbol, signed
        self.width, self.result_widths = len(widths) - 1, widths
        self.scheme = SCHEMES.get(config.position_ids)
        self.lead = int(config.spaces) + int(signed and config.sign == "first")  # tokens between `=` and the digits
        self.answer_length = int(config.spaces) + int(widths[-1]) + int(signed) + 1  # and the `.`
        longest_prompt = 2 * self.width + 1 + 3 * config.spaces
        self.prompt_width = at_least("prompt-width", config.prompt_width, longest_prompt, "before the = of a prompt")
        # In a row that is a prefix, the last token of the answer is never read.
        self.needed = self.prompt_width + self.answer_length + (config.rows == "whole")
        self.context = at_least("context", config.context, self.needed, "for the longest sample")
        self.ragged = config.padding != "zero" or self.context > self.needed or config.rows == "prefix"

    # Pieces

    def mark(self, text: str, count: int) -> Piece:
        """The same few tokens, or none, in each of `count` rows."""
        tokens = np.broadcast_to(self.vocabulary.encode(text), (count, len(text)))  # (n, w)
        return Piece(tokens, np.full_like(tokens, self.scheme.mark if self.scheme else 0), np.ones_like(tokens, bool))

    def number(self, digits: np.ndarray, lengths: np.ndarray, backwards: bool) -> Piece:
        """The numbers of a digit array (n, w), `lengths` (n,) digits of each; `backwards`: least significant first."""
        place = np.arange(digits.shape[1])  # (w,)
        written = place < lengths[:, None]  # (n, w)
        if backwards:
            significance = np.broadcast_to(place, digits.shape)  # (n, w), of the digit that stands at each place
            values = digits
        else:
            significance = np.maximum(lengths[:, None] - 1 - place, 0)  # (n, w)
            values = np.take_along_axis(digits, significance, axis=1)  # (n, w)
        tokens = values + np.int64(self.vocabulary.ids["0"])
        return Piece(tokens, significance + self.scheme.units if self.scheme else significance, written)

    def prompt_padding(self, pieces: list[Piece]) -> Piece:
        """What fills prompts of these pieces up to `prompt_width`; only where a row is a prefix."""
        missing = self.prompt_width - written_of(pieces).sum(axis=1)  # (n,)
        written = np.arange(self.prompt_width) < missing[:, None]  # (n, prompt_width)
        tokens = np.full(written.shape, self.vocabulary.padding, dtype=np.int64)
        return Piece(tokens, np.zeros_like(tokens), written)

    # Samples

    def prompts(self, first: np.ndarray, second: np.ndarray) -> list[Piece]:
        """The pieces up to and including `=`."""
        count, space = len(first), " " if self.config.spaces else ""
        lengths = self.operand_lengths(first, second)
        backwards = self.config.order == "reversed"
        pieces = [
            self.number(first, lengths[0], backwards),
            self.mark(space + self.symbol + space, count),
            self.number(second, lengths[1], backwards),
            self.mark(space, count),
        ]
        if self.config.rows == "prefix":
            pieces.append(self.prompt_padding(pieces))
        return [*pieces, self.mark("=", count)]

    def operand_lengths(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many digits of each operand are written, int64 (n,) each."""
        if self.config.padding == "zero":
            full = np.full(len(first), self.width)
            return full, full
        lengths = significant_lengths(first), significant_lengths(second)
        if self.config.padding == "none":
            return lengths
        longer = np.maximum(*lengths)
        return longer, longer

    def result_lengths(self, first: np.ndarray, second: np.ndarray, result: np.ndarray) -> np.ndarray:
        """How many digits of each result are written: int64 (n,)."""
        if self.config.padding == "none":
            return significant_lengths(result)
        return self.result_widths[self.operand_lengths(first, second)[0]]

    def answers(self, lengths: np.ndarray, result: np.ndarray, negative: np.ndarray | None) -> np.ndarray:
        """Digits (n, W), `lengths` (n,) of them, as answers: token ids, int64 (n, answer_length), padded."""
        count, ids = len(result), self.vocabulary.ids
        pieces = [
            self.mark(" " if self.config.spaces else "", count),
            self.number(result, lengths, self.config.order != "plain"),
            self.mark(".", count),
        ]
        if negative is not None:
            sign = np.where(negative, ids["-"], ids["+"])[:, None]  # (n, 1)
            piece = Piece(sign, np.zeros_like(sign), np.ones_like(sign, dtype=bool))
            pieces.insert(1 if self.config.sign == "first" else 2, piece)
        return pack([piece.tokens for piece in pieces], written_of(pieces), self.answer_length, self.vocabulary.padding)

    def answer_ids(self, lengths: np.ndarray) -> np.ndarray:
        """The position id of each place of an answer with `lengths` (n,) digits: int64 (n, answer_length).

        They tell of a reversed answer nothing but the place, even behind its last digit.
        """
        place = np.arange(self.answer_length) - self.lead  # (answer_length,), 0 is the first digit
        if self.scheme is None:
            return np.zeros((len(lengths), self.answer_length), dtype=np.int64)
        mark, units = self.scheme
        significance = lengths[:, None] - 1 - place if self.config.order == "plain" else place + 0 * lengths[:, None]
        return np.where((place >= 0) & (significance >= 0), significance + units, mark)

    def rows(self, prompts: list[Piece], answers: np.ndarray, answer_ids: np.ndarray, width: int) -> Rows:
        """Whole samples, (n, width): pieces up to `=`, and answers as tokens (n, answer_length) with position ids."""
        pieces = [*prompts, Piece(answers, answer_ids, answers != self.vocabulary.padding)]
        written = written_of(pieces)
        tokens = pack([piece.tokens for piece in pieces], written, width, self.vocabulary.padding)
        ids = pack([piece.ids for piece in pieces], written, width, 0) if self.scheme else np.zeros_like(tokens)
        return Rows(tokens, ids)


def written_of(pieces: list[Piece]) -> np.ndarray:
    """Which tokens of the pieces, side by side, are written: bool (n, sum of widths)."""
    return np.concatenate([piece.written for piece in pieces], axis=1)


def pack(arrays: list[np.ndarray], written: np.ndarray, width: int, fill: int) -> np.ndarray:
    """What is `written` (n, S) of the arrays side by side, moved to the left, filled up to (n, width): int64."""
    values = np.concatenate(arrays, axis=1)  # (n, S)
    rows = np.full((len(values), width), fill, dtype=np.int64)
    if written.all():  # the usual case, in half the time
        rows[:, : values.shape[1]] = values
        return rows
    taken = np.arange(width) < written.sum(axis=1)[:, None]  # (n, width)
    rows[taken] = values[written]  # both in reading order
    return rows
