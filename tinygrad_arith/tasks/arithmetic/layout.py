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

Position ids say which places of a sample a model is to take for equal.

- order: 0, 1, 2, ...: no two places are equal.
- coupled: digits of one significance share an id, whichever number they are in (position coupling, Cho et al. 2024,
  arXiv 2405.20671): 2 for units, 3 for the next, and so on. Operator, `=`, sign and spaces share 1.
- abacus: a digit's place within its number, 1 for units (abacus embeddings, McLeish et al. 2024, arXiv 2405.17399);
  all else has 0.

Padding has 0. What stands behind a reversed answer, its sign or `.`, goes on counting: while an answer is being
written, nobody knows whether its next token is another digit.
"""

from typing import NamedTuple

import numpy as np

from ..rows import packed_left
from ..vocabulary import Vocabulary
from .digits import significant_lengths
from .options import NumberOptions

# Padding, then the order of the ids in the articles that the tasks are from.
BINARY_TOKENS = ("_", " ", "0", "1", "+", "=", ".")
DECIMAL_TOKENS = ("_", "+", "*", "=", *"0123456789", "(", ")", ".")


class Scheme(NamedTuple):
    """The ids of a scheme: of what is no digit, and of the units; a digit of significance s has `units` + s."""

    mark: int
    units: int


SCHEMES = {"coupled": Scheme(mark=1, units=2), "abacus": Scheme(mark=0, units=1)}


class Layout:
    """Writes the problems of one task. Operands are digit arrays (n, D), least significant digit first.

    vocabulary:    the tokens of a published one, with those behind them that it has not but the task needs
    widths:        int64 (D + 1,), how many digits the result of two operands of that many digits has room for
    prompt_length: the most tokens up to and without `=`
    answer_length: the most tokens of an answer, from behind the `=` to the `.`
    """

    def __init__(self, config: NumberOptions, base: int, symbol: str, signed: bool, widths: np.ndarray):
        self.config, self.widths = config, widths
        published = BINARY_TOKENS if base == 2 else DECIMAL_TOKENS
        needed = [symbol, *("+-" if signed else ""), *(" " if config.spaces else "")]
        self.vocabulary = Vocabulary(tuple(dict.fromkeys([*published, *needed])))
        self.space = " " if config.spaces else ""
        self.operator = self.space + symbol + self.space
        self.prompt_length = 2 * (len(widths) - 1) + len(self.operator + self.space)
        self.lead = len(self.space) + int(signed and config.sign == "first")  # tokens between `=` and the digits
        self.answer_length = len(self.space) + int(widths[-1]) + int(signed) + 1  # and the `.`

    def prompts(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The tokens before the `=`, int64 (n, prompt_length), padding where a digit is not written."""
        operands = (first, second), self.operand_lengths(first, second)
        one, other = (self.number(*operand, self.config.order == "reversed") for operand in zip(*operands, strict=True))
        operator, space = self.vocabulary.encode(self.operator), self.vocabulary.encode(self.space)
        return side_by_side(len(first), one, operator, other, space)

    def answers(
        self, first: np.ndarray, second: np.ndarray, result: np.ndarray, negative: np.ndarray | None
    ) -> np.ndarray:
        """Results (n, W), with signs if they have some, as token ids: int64 (n, answer_length), padded."""
        if self.config.padding == "none":
            lengths = significant_lengths(result)  # (n,)
        else:
            lengths = self.widths[self.operand_lengths(first, second)[0]]
        ids, encode = self.vocabulary.ids, self.vocabulary.encode
        pieces = [encode(self.space), self.number(result, lengths, self.config.order != "plain"), encode(".")]
        if negative is not None:
            sign = np.where(negative, ids["-"], ids["+"])[:, None]  # (n, 1)
            pieces.insert(1 if self.config.sign == "first" else 2, sign)
        return packed_left(side_by_side(len(result), *pieces), self.vocabulary.padding)

    def number(self, digits: np.ndarray, lengths: np.ndarray, backwards: bool) -> np.ndarray:
        """The numbers of a digit array (n, w), `lengths` (n,) digits of each, as token ids: int64 (n, w)."""
        places = digit_places(digits.shape[1], backwards)  # (w,)
        tokens = digits[:, places] + np.int64(self.vocabulary.ids["0"])
        return np.where(places < lengths[:, None], tokens, self.vocabulary.padding)

    def operand_lengths(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many digits of each operand are written, int64 (n,) each."""
        if self.config.padding == "zero":
            full = np.full(len(first), first.shape[1])
            return full, full
        lengths = significant_lengths(first), significant_lengths(second)
        if self.config.padding == "none":
            return lengths
        longer = np.maximum(*lengths)
        return longer, longer

    def position_ids(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The position ids of the prompts, the `=` and the answers: int64 (n, prompt_length + 1 + answer_length)."""
        mark, units = SCHEMES[self.config.position_ids]
        operand = digit_places(first.shape[1], self.config.order == "reversed") + units  # (D,)
        operator, equals = np.full(len(self.operator), mark), np.full(len(self.space) + 1, mark)
        place = np.arange(self.answer_length) - self.lead  # (answer_length,), 0 is the first digit
        significance = place
        if self.config.order == "plain":
            significance = self.widths[self.operand_lengths(first, second)[0]][:, None] - 1 - place
        answer = np.where((place >= 0) & (significance >= 0), significance + units, mark)
        return side_by_side(len(first), operand, operator, operand, equals, answer)


def digit_places(width: int, backwards: bool) -> np.ndarray:
    """The significance of each digit as written, int64 (width,); `backwards`: least significant first."""
    return np.arange(width) if backwards else np.arange(width)[::-1]


def side_by_side(count: int, *pieces: np.ndarray) -> np.ndarray:
    """Pieces of rows, (n, w) or (w,) for all n rows alike, in one array of `count` rows."""
    return np.concatenate([np.broadcast_to(piece, (count, piece.shape[-1])) for piece in pieces], axis=1)
