"""Expressions of one-digit numbers with `+`, `*` and parentheses: `(1+2)*3+4=` is answered by `13.`

After the Julia article: https://zenn.dev/char/articles/afdf5b9a1d46eb. An expression of depth 0 is a digit; one of
depth d is `a+b`, `(a+b)`, `a*b` or `(a*b)`, where a and b are any two of depth d - 1. That is 10, 400 and 640,000
strings, all distinct, at depths 0, 1 and 2, numbered in this order: by a, then by b, then `+` before `*`, then without
parentheses before with. A string is read as it stands, `*` before `+`: `1+2` times `3+4` without parentheses is the
string `1+2*3+4`, and 11.

Operands are single digits, so `order` is that of the answer alone: "plain", or "reversed".
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..options.option import option
from ..options.words import shortened
from .arithmetic.digits import from_integers, significant_lengths
from .enumerated import EnumeratedProblems, EnumeratedTask
from .options import RowOptions
from .vocabulary import Vocabulary

TOKENS = ("_", "+", "*", "=", *"0123456789", "(", ")", ".")  # the article's 17, in the order of its ids
BASE = 10


@dataclass(frozen=True)
class ExpressionOptions(RowOptions):
    """The options of expressions."""

    family = "expressions"

    depth: int = option(2, "of expressions", range=(0, 2))
    order: str = option(
        "reversed",
        "digits of the answer written least significant first, or plain",
        choices=("reversed", "plain", "reversed-answer"),
    )


def expression_count(depth: int) -> int:
    """How many expressions there are of a depth."""
    return 10 if depth == 0 else 4 * expression_count(depth - 1) ** 2


def slot_count(depth: int) -> int:
    """Tokens of the longest expression of a depth."""
    return 1 if depth == 0 else 2 * slot_count(depth - 1) + 3  # ( a op b )


class Parts(NamedTuple):
    """What expressions of depth 1 and more are made of, (n,) each."""

    first: np.ndarray  # index of the first operand, among the expressions one less deep
    second: np.ndarray
    times: np.ndarray  # bool: `*`, not `+`
    enclosed: np.ndarray  # bool: with parentheses


def parts_of(indices: np.ndarray, depth: int) -> Parts:
    """Takes indices (n,) of expressions of a depth above 0 apart."""
    operands, variant = np.divmod(indices, 4)
    first, second = np.divmod(operands, expression_count(depth - 1))
    return Parts(first, second, variant >= 2, variant % 2 == 1)


class Terms(NamedTuple):
    """Expressions as sums of terms, int64 (n,) each: what a `*` beside one of them needs to know of it."""

    total: np.ndarray  # the value
    first: np.ndarray  # value of the first term
    last: np.ndarray  # value of the last term
    single: np.ndarray  # bool: there is one term only


def terms_of(indices: np.ndarray, depth: int) -> Terms:
    """The terms of expressions (n,) of a depth.

    `a*b` multiplies the last term of a by the first of b; all other terms stay as they are. Parentheses make one term.
    """
    if depth == 0:
        return Terms(indices, indices, indices, np.ones(len(indices), dtype=bool))
    parts = parts_of(indices, depth)
    a, b = terms_of(parts.first, depth - 1), terms_of(parts.second, depth - 1)
    product = a.last * b.first  # (n,)
    total = a.total + b.total + np.where(parts.times, product - a.last - b.first, 0)
    first = np.where(parts.times & a.single, product, a.first)
    last = np.where(parts.times & b.single, product, b.last)
    single = parts.times & a.single & b.single
    enclosed = parts.enclosed
    return Terms(total, np.where(enclosed, total, first), np.where(enclosed, total, last), single | enclosed)


class Expressions(EnumeratedTask):
    """See `AnsweringTask` for what the methods promise, and the top of this file for what an expression is."""

    options = ExpressionOptions
    config: ExpressionOptions
    size_flag = "depth"
    train_share = 0.25  # as published

    @classmethod
    def problem_count(cls, options: ExpressionOptions) -> int:
        """All expressions of the depth."""
        return expression_count(options.depth)

    def __init__(self, config: ExpressionOptions):
        """Takes options whose sizes are settled; raises ValueError where options do not fit together."""
        self.depth = config.depth
        self.answer_digits = len(str(9**2**self.depth))  # of the largest value, 9 * 9 * ...
        super().__init__(
            config,
            Vocabulary(TOKENS),
            count=expression_count(self.depth),
            prompt_length=slot_count(self.depth),
            answer_length=self.answer_digits + 1,  # the "."
        )

    def values(self, problems: EnumeratedProblems) -> np.ndarray:
        """The values of the expressions, int64 (n,)."""
        return terms_of(problems.indices, self.depth).total

    def slots(self, indices: np.ndarray, depth: int) -> np.ndarray:
        """Expressions (n,) of a depth as token ids (n, slot_count(depth)), padding where there is no parenthesis."""
        ids, padding = self.vocabulary.ids, self.vocabulary.padding
        if depth == 0:
            return ids["0"] + indices[:, None]  # (n, 1)
        parts = parts_of(indices, depth)
        columns = [
            np.where(parts.enclosed, ids["("], padding)[:, None],
            self.slots(parts.first, depth - 1),
            np.where(parts.times, ids["*"], ids["+"])[:, None],
            self.slots(parts.second, depth - 1),
            np.where(parts.enclosed, ids[")"], padding)[:, None],
        ]
        return np.concatenate(columns, axis=1)

    def prompts(self, problems: EnumeratedProblems) -> np.ndarray:
        """The expressions as token ids, int64 (n, P), padding where there is no parenthesis."""
        return self.slots(problems.indices, self.depth)

    def answers(self, problems: EnumeratedProblems) -> np.ndarray:
        """The right answers as token ids, int64 (n, answer_length), padding behind the `.`."""
        ids, padding = self.vocabulary.ids, self.vocabulary.padding
        digits = from_integers(self.values(problems), self.answer_digits, BASE)  # (n, D), least significant first
        written = np.arange(self.answer_digits) < significant_lengths(digits)[:, None]  # (n, D)
        tokens = np.where(written, ids["0"] + digits.astype(np.int64), padding)
        if self.config.order == "plain":
            tokens = tokens[:, ::-1]
        return self.ended_answers(tokens)

    def groups(self, problems: EnumeratedProblems) -> dict[str, np.ndarray]:
        """By what an evaluation is broken down: int64 (n,) each."""
        ids = self.vocabulary.ids
        prompts = self.prompts(problems)  # (n, P)
        return {
            "tokens of the expression": np.sum(prompts != self.vocabulary.padding, axis=1),
            "multiplications": np.sum(prompts == ids["*"], axis=1),
            "digits of the answer": self.answer_token_counts(problems) - 1,
        }

    def statements(self, problems: EnumeratedProblems) -> list[str]:
        """The expressions with their values: `(1+2)*3+4 = 13`."""
        values = self.values(problems)
        return [f"{text.prompt[:-1]} = {value}" for text, value in zip(self.text(problems), values, strict=True)]

    def parse(self, text: str) -> EnumeratedProblems:
        """The problem in a text like `(1+2)*3+4=`; the `=` and spaces may be left out.

        Raises ValueError with one sentence that says what is wrong and what is allowed.
        """
        typed = text.rstrip().removesuffix("=")
        for position, character in enumerate(typed, start=1):
            if not character.isspace() and character not in "0123456789+*()":
                raise ValueError(f"{character!r} at position {position}: allowed are the digits, +, *, ( and )")
        expression = "".join(typed.split())
        index = parse_expression(expression, self.depth)
        if index is None:
            raise ValueError(
                f"{shortened(expression)!r} is no expression of depth {self.depth}: those are {SHAPES[self.depth]}"
            )
        return EnumeratedProblems(np.array([index], dtype=np.int64))

    def describe(self) -> str:
        """The task in one line."""
        order = "most" if self.config.order == "plain" else "least"
        rows = ", a row per prefix" if self.rows == "prefix" else ""
        return (
            f"expressions of depth {self.depth}, answers {order} significant digit first{rows}, "
            f"{self.train_size:,} training expressions"
        )


SHAPES = (
    "single digits, such as 7",
    "two digits with a + or * between them, such as 3*4 or (3*4)",
    "a+b, a*b, (a+b) or (a*b) with a and b of depth 1, such as (1+2)*3+4",
)


def parse_expression(text: str, depth: int) -> int | None:
    """The index of an expression of a depth, or None if the text is none."""
    if depth == 0:
        return int(text) if len(text) == 1 and text.isdecimal() else None
    if len(text) > slot_count(depth):
        return None
    for enclosed in (False, True):
        inner = text[1:-1] if enclosed else text
        if enclosed and f"({inner})" != text:
            continue
        for place, operator in enumerate(inner):
            if operator not in "+*":
                continue
            first, second = (parse_expression(part, depth - 1) for part in (inner[:place], inner[place + 1 :]))
            if first is not None and second is not None:
                return 4 * (first * expression_count(depth - 1) + second) + 2 * (operator == "*") + enclosed
    return None
