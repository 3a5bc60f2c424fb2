"""Binary addition: `1011+110=` is answered by `00001.` (13 + 3 = 16, least significant bit first).

How a sample `a+b=c.` is laid out:
- order "reversed" writes all three numbers least significant bit first, so that a model meets each bit of the sum when
  it knows all that the bit depends on; "plain" writes the most significant bit first.
- padding "zero" writes `digits` digits for a and b and digits + 1 for c: every sample has T = 3 * digits + 4 tokens.
  "none" writes each number as long as it is, and fills the row up to that T with padding tokens.
- loss "answer" counts the predictions of the answer's tokens, its final `.` included; "all" counts all but padding.
"""

from typing import Any

import numpy as np

from ..backend import RandomKey
from . import scoring
from .batch import Batch, Problem, Problems
from .config import TaskConfig
from .digits import (
    add,
    from_integers,
    random_digits,
    random_digits_by_length,
    significant_lengths,
    to_integers,
)
from .splits import HELD_OUT, HashedSplit, ListedSplit
from .vocabulary import Vocabulary

BASE = 2
TOKENS = ("_", " ", "0", "1", "+", "=", ".")  # padding, then the order of the ids in the article this task is from


class BinaryAddition:
    """The task. See `Task` for what the methods promise, and the top of this file for the layout of a sample."""

    base = BASE

    def __init__(self, config: TaskConfig):
        """Takes a valid configuration (`TaskConfig.validate`)."""
        self.config = config
        self.vocabulary = Vocabulary(TOKENS)
        self.digits = config.digits
        self.answer_length = self.digits + 2  # the carry adds a digit, and then there is the "."
        self.context = 2 * (self.digits + 1) + self.answer_length  # a+ b= c.
        sizes = {"validation": config.validation_size, "test": config.test_size}
        self.split: ListedSplit | HashedSplit
        if config.listed:
            by_length = config.operands == "by-length"
            self.split = ListedSplit(self.digits, BASE, sizes, config.split_seed, by_length)
        else:
            self.split = HashedSplit(self.draw, sizes, config.split_seed)
        self.train_size = self.split.train_size
        self.held_out: dict[str, Problems] = {}  # made when first asked for

    # What is learned from, and what is tested on

    def draw(self, key: RandomKey, count: int) -> Problems:
        """`count` random pairs of operands, of any split."""
        draw_digits = random_digits_by_length if self.config.operands == "by-length" else random_digits
        both = draw_digits(key, 2 * count, self.digits, BASE)  # (2 * count, digits)
        return Problems(both[:count], both[count:])

    def train_batch(self, step: int, batch_size: int, seed: int) -> Batch:
        """The batch of a training step, (batch_size, T): a pure function of its arguments."""
        return self.batch(self.train_problems(step, batch_size, seed))

    def train_problems(self, step: int, batch_size: int, seed: int) -> Problems:
        """The problems in the batch of a training step."""
        return self.split.train(RandomKey(seed, "train", step=step), batch_size)

    def problems(self, split: str, count: int) -> Problems:
        """The first `count` problems of "validation" or "test"; the training seed has no influence on them.

        Raises ValueError if the split holds fewer.
        """
        if split not in HELD_OUT:
            raise ValueError(f"split {split!r}: must be one of {', '.join(HELD_OUT)}")
        if split not in self.held_out:
            self.held_out[split] = self.split.held_out(split)
        found = self.held_out[split]
        if not 0 <= count <= len(found):
            raise ValueError(f"--count {count}: the {split} split holds {len(found):,} problems")
        return found[:count]

    # Problems as tokens

    def batch(self, problems: Problems) -> Batch:
        """The problems with their right answers: tokens and targets (n, T), and a key mask if there is padding."""
        ids = self.vocabulary.ids
        tokens = np.full((len(problems), self.context), self.vocabulary.padding, dtype=np.int64)  # (n, T)
        rows = np.arange(len(problems))
        place = np.zeros(len(problems), dtype=np.int64)  # (n,), where the next token goes
        total = add(problems.first, problems.second, BASE)  # (n, digits + 1)
        for digits, mark in ((problems.first, "+"), (problems.second, "="), (total, ".")):
            lengths = self.written_lengths(digits)
            self.write_number(tokens, place, digits, lengths)
            place = place + lengths
            tokens[rows, place] = ids[mark]
            place = place + 1
        key_mask = None if self.config.padding == "zero" else tokens != self.vocabulary.padding  # (n, T)
        return Batch(tokens, self.targets(tokens), key_mask=key_mask)

    def written_lengths(self, digits: np.ndarray) -> np.ndarray:
        """How many digits of each number (n, D) are written: int64 (n,)."""
        if self.config.padding == "zero":
            return np.full(len(digits), digits.shape[1], dtype=np.int64)
        return significant_lengths(digits)

    def write_number(self, tokens: np.ndarray, start: np.ndarray, digits: np.ndarray, lengths: np.ndarray) -> None:
        """Write the digits (n, D), `lengths` (n,) of them, into `tokens` (n, T) from column `start` (n,) on."""
        place = np.arange(digits.shape[1])  # (D,)
        written = place < lengths[:, None]  # (n, D)
        source = place if self.config.order == "reversed" else np.maximum(lengths[:, None] - 1 - place, 0)
        source = np.broadcast_to(source, digits.shape)  # (n, D), which digit stands at this place
        values = np.take_along_axis(digits, source, axis=1)[written]
        row, column = np.nonzero(written)
        tokens[row, start[row] + column] = self.vocabulary.ids["0"] + values.astype(np.int64)

    def targets(self, tokens: np.ndarray) -> np.ndarray:
        """The token to be predicted at each position of `tokens` (n, T), -1 where that bears no loss: int64 (n, T)."""
        counted = tokens != self.vocabulary.padding  # (n, T)
        if self.config.loss == "answer":
            counted &= np.arange(self.context) > self.equals_place(tokens)[:, None]
        targets = np.full_like(tokens, -1)  # (n, T)
        targets[:, :-1] = np.where(counted, tokens, -1)[:, 1:]
        return targets

    def equals_place(self, tokens: np.ndarray) -> np.ndarray:
        """Where the `=` stands in each row of `tokens` (n, T): int64 (n,)."""
        return (tokens == self.vocabulary.ids["="]).argmax(axis=1)

    # Answers

    def answers(self, problems: Problems) -> np.ndarray:
        """The right answers as token ids, int64 (n, answer_length), padding behind the `.`."""
        tokens = np.full((len(problems), self.answer_length), self.vocabulary.padding, dtype=np.int64)
        total = add(problems.first, problems.second, BASE)
        lengths = self.written_lengths(total)
        self.write_number(tokens, np.zeros_like(lengths), total, lengths)
        tokens[np.arange(len(problems)), lengths] = self.vocabulary.ids["."]
        return tokens

    def answer_predictions(self, logits: Any, batch: Batch) -> np.ndarray:
        """What a model answers, from its logits (n, T, V) on whole problems: int64 (n, answer_length)."""
        return scoring.answer_predictions(logits, batch.tokens, self.vocabulary.ids["="], self.answer_length)

    def score(self, predictions: np.ndarray, problems: Problems) -> np.ndarray:
        """Which answers (n, answer_length) are right in full: bool (n,)."""
        return scoring.exact_match(predictions, self.answers(problems), self.vocabulary.padding)

    # Text

    def text(self, problems: Problems) -> list[Problem]:
        """The problems as they are written for the model."""
        decode, padding = self.vocabulary.decode, self.vocabulary.tokens[self.vocabulary.padding]
        tokens = self.batch(problems).tokens
        starts = self.equals_place(tokens) + 1
        return [
            Problem(decode(row[:start]), decode(row[start:]).rstrip(padding))
            for row, start in zip(tokens, starts, strict=True)
        ]

    def statements(self, problems: Problems) -> list[str]:
        """The problems and their true sums in decimal: `13 + 3 = 16`."""
        first, second = to_integers(problems.first, BASE), to_integers(problems.second, BASE)
        return [f"{a} + {b} = {a + b}" for a, b in zip(first, second, strict=True)]

    def parse(self, text: str) -> Problems:
        """The problem in a text like `1011+110=`, digits in this task's order; the `=` and spaces may be left out.

        Raises ValueError with one sentence that says what is wrong and what is allowed.
        """
        first, second = split_operands(text)
        operands = [self.parse_operand(word, name) for word, name in ((first, "first"), (second, "second"))]
        return Problems(*(from_integers([value], self.digits, BASE) for value in operands))

    def parse_operand(self, word: str, name: str) -> int:
        """The value of one operand as it was typed."""
        if not word:
            raise ValueError(f"the {name} operand is empty: write a problem as 1011+110=")
        if len(word) > self.digits:
            raise ValueError(
                f"the {name} operand has {len(word)} digits: this model adds numbers of at most {self.digits}"
            )
        return int(word[::-1] if self.config.order == "reversed" else word, BASE)

    def describe(self) -> str:
        """The task in one line."""
        order = "least" if self.config.order == "reversed" else "most"
        padding = "zero-padded" if self.config.padding == "zero" else "not padded"
        loss = "the answer" if self.config.loss == "answer" else "all tokens"
        size = f"{self.train_size:,} training pairs" if self.train_size else "all but 1 in 8 pairs for training"
        bits = f"{self.digits} bit" + "s" * (self.digits > 1)
        return f"a+b of up to {bits}, {order} significant bit first, {padding}, loss on {loss}, {size}"


def split_operands(text: str) -> tuple[str, str]:
    """The two operands in a text like `1011 + 110 =`, spaces dropped. Raises ValueError for anything else."""
    operands = [""]
    ended = False
    for position, character in enumerate(text.rstrip(), start=1):
        if character.isspace():
            continue
        if ended:
            raise ValueError(f"{character!r} at position {position} stands behind the '=', which ends a problem")
        if character in "01":
            operands[-1] += character
        elif character == "+" and len(operands) == 1:
            operands.append("")
        elif character == "+":
            raise ValueError(f"a second '+' at position {position}: a problem has two operands")
        elif character == "=":
            ended = True
        else:
            raise ValueError(f"{character!r} at position {position} is not a binary digit: allowed are 0 and 1")
    if len(operands) == 1:
        raise ValueError(f"there is no '+' in {text.strip()!r}: write a problem as 1011+110=")
    return operands[0], operands[1]
