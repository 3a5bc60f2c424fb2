"""Tasks of two numbers: `1011+110=` is answered by `00001.` (13 + 3 = 16, least significant bit first).

`NumberTask` does all but the arithmetic; a task is a few lines (see `operations.py`, and docs/tasks.md for a task of
your own). `layout.py` says how a sample is written, `splits.py` what is kept from training, `draws.py` what a training
step gets.
"""

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from ...backend import RandomKey
from ...options.words import shortened
from ..answering import AnsweringTask
from ..batch import Problems
from ..metrics import Breakdown, Grid
from ..reading import Reading
from ..scoring import GroupScore, by_length_pair
from ..sizes import HELD_OUT_SHARE, LARGEST_LISTED, kept_sizes
from ..splits import LengthSplit, PairSplit, TrainingList, TrainingSplit, all_pairs
from .checks import check_arithmetic
from .digits import from_integers, random_digits, random_digits_by_length, significant_lengths, to_integers
from .draws import random_prefixes, random_problems
from .layout import SCHEMES, Layout
from .options import CarryOptions, NumberOptions, SignAndCarryOptions, SignOptions
from .typed import check_decimal, decimal_operands, split_operands, value_of_answer

OPTIONS: dict[tuple[bool, bool], type[NumberOptions]] = {  # by whether there are signs, and carries
    (False, False): NumberOptions,
    (True, False): SignOptions,
    (False, True): CarryOptions,
    (True, True): SignAndCarryOptions,
}
RESERVED = "_=. ()0123456789"  # characters that mean something else in every vocabulary
FEW_PAIRS = 4096  # so many may all be held out by chance


class NumberTask(AnsweringTask):
    """A task of two operands; a subclass says what is to be computed, all else comes from the configuration.

    symbol: one character between the operands
    base:   of all digits, 2 to 10
    signed: whether results may be negative; then `negative` says which are, and `result` gives their magnitude
    verb:   what a model of this task does with numbers, for people
    """

    symbol: str
    base: int
    signed = False
    verb = "takes"
    size_flag = "digits"
    lists_all = False
    problems_are = "operand pairs"
    typed_in_decimal = True

    options: type[NumberOptions] = NumberOptions

    def __init_subclass__(cls, **more: Any) -> None:
        """Some options mean something only where results are signed, or carries handed on."""
        super().__init_subclass__(**more)
        if "options" not in cls.__dict__:
            cls.options = OPTIONS[cls.signed, cls.chain_digits is not NumberTask.chain_digits]

    config: NumberOptions
    width: int  # columns of digit arrays: D

    def __init__(self, config: NumberOptions, trained: "NumberTask | None" = None):
        """Takes options whose sizes are settled.

        `trained` is the task that training used, if this one is for other operand lengths (`with_digits`).
        Raises ValueError if a sample does not fit into what the options give it, or if nothing can be trained on.
        """
        self.config, self.trained, self.digits = config, trained, config.digits
        self.width = max(config.digits, trained.width if trained else 0)
        if not type(self).__module__.startswith("tinygrad_arith."):
            check_arithmetic(self)
        widths = np.full(self.width + 1, self.result_width(self.width))  # (D + 1,), by digits of the operands
        if config.padding == "longer":
            widths[1:-1] = [self.result_width(digits) for digits in range(1, self.width)]
        self.layout = layout = Layout(config, self.base, self.symbol, self.signed, widths)
        super().__init__(config, layout.vocabulary, layout.prompt_length, layout.answer_length)
        self.ragged = config.padding != "zero" or self.context > self.prompt_width + 1 + self.answer_length
        self.trained_length = trained.digits if trained else config.digits
        if trained:
            self.longest_context, self.position_count = trained.longest_context, trained.position_count
            self.split = self.length_split(trained)
        elif config.longest > config.digits or config.position_ids != "order":
            self.make_room_for_longest()
        if config.curriculum:
            self.check_curriculum()

    @classmethod
    def check_class(cls) -> None:
        """Raise ValueError, the end of a sentence, unless a user's class has a usable symbol and base, and results."""
        symbol, base = getattr(cls, "symbol", None), getattr(cls, "base", None)
        if not isinstance(symbol, str) or len(symbol) != 1 or symbol in RESERVED or symbol.isspace():
            raise ValueError(f"its symbol is {symbol!r}, but must be one character, none of {RESERVED!r}")
        if type(base) is not int or not 2 <= base <= 10:
            raise ValueError(f"its base is {base!r}, but must be a whole number from 2 to 10")
        if cls.result is NumberTask.result:
            raise ValueError("it has no method `result`")
        if cls.signed and cls.negative is NumberTask.negative:
            raise ValueError("it is signed, but has no method `negative`")

    # The arithmetic

    def result(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """What is to be answered to operands (n, D): digits, uint8 (n, W), least significant first.

        W depends on D alone. Zeros above the operands' leading digits make no difference but zeros in the result.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method `result`")

    def negative(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Which results are negative, bool (n,); asked for only where the task is `signed`."""
        raise NotImplementedError(f"{type(self).__name__} is signed, but has no method `negative`")

    def chain_digits(self, first: np.ndarray) -> np.ndarray:
        """For each digit (n, D) of a first operand that of a second one which hands a carry on: uint8 (n, D).

        Asked for only with `--carry-mix`; a task without carries does not have this method.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method `chain_digits`")

    @classmethod
    def problem_count(cls, options: NumberOptions) -> int:
        """How many pairs of operands there are, of training and held out together."""
        return cls.base ** (2 * options.digits)

    def result_width(self, digits: int) -> int:
        """How many digits the result of operands of so many digits has."""
        zeros = np.zeros((1, digits), dtype=np.uint8)
        return self.result(zeros, zeros).shape[1]

    def make_room_for_longest(self) -> None:
        """Set the positions that the model has room for, and how many ids there are, by what the longest operands need.

        Ids of digits go up to their place in the longest number, or in what a model may go on to write behind it.
        """
        config, longest = self.config, self.config.longest
        wider = 2 * (longest - self.digits) + self.result_width(longest) - self.result_width(self.digits)
        needed = self.prompt_width + self.answer_length + (self.rows == "whole") + wider
        self.longest_context = max(self.context, needed)
        self.position_count = max(self.longest_context, self.context + config.position_offset)
        if config.position_ids != "order":
            trained, tested = (
                max(digits, self.result_width(digits) + int(self.signed) + 1) for digits in (self.digits, longest)
            )
            self.position_count = SCHEMES[config.position_ids].units + max(trained + config.position_offset, tested)

    # What is learned from, and what is tested on

    @cached_property
    def split(self) -> PairSplit:
        """Which pairs are for training, and which are kept; made when first asked for."""
        config, pairs = self.config, self.all_pairs()
        sizes = kept_sizes(config) | {"train": config.train_size}
        by_length = self.base if config.operands == "by-length" and pairs is not None else None
        return TrainingSplit(self.draw, sizes, config.split_seed, pairs, by_length)

    def length_split(self, trained: "NumberTask") -> LengthSplit:
        """Held-out pairs of other operand lengths. Where they are few, `config` then says how many there are."""
        config, pairs, sizes = self.config, self.all_pairs(), kept_sizes(self.config)
        if pairs is None:
            limit = self.problem_count(config) // HELD_OUT_SHARE // 4  # as for the training's own splits
            sizes = {part: min(size, limit) for part, size in sizes.items()}
        split = LengthSplit(trained.split, trained.width, self.draw, sizes, pairs)
        if pairs is not None:
            sizes = {part: len(split.problems(part)) for part in sizes}
        validation = sizes["validation"] if config.validation == "own" else min(config.validation_size, sizes["test"])
        self.config = replace(config, validation_size=validation, test_size=sizes["test"])
        return split

    def all_pairs(self) -> Problems | None:
        """All pairs of operands, where they are few enough to be listed."""
        few = self.problem_count(self.config) <= LARGEST_LISTED
        return all_pairs(self.digits, self.base, self.width) if few else None

    @property
    def listed(self) -> Problems | None:
        """All training pairs; None if they are too many to list."""
        return None if self.split.listed is None else self.split.listed.pairs

    def check_curriculum(self) -> None:
        """Raise ValueError if a stage of the curriculum has nothing to train on."""
        for stage in self.config.stages:
            listed = self.split.listed
            if listed is None and self.base ** (2 * stage.digits) <= FEW_PAIRS:
                pairs = all_pairs(stage.digits, self.base, self.width)
                listed = TrainingList(pairs[self.split.members(pairs, "train")])
            if listed is not None:
                listed.reachable(stage.digits)

    def draw(self, key: RandomKey, count: int, longest: int | None = None) -> Problems:
        """`count` random pairs of operands, of any split, of at most `longest` digits if given."""
        sizes = 2 * count, longest or self.digits, self.base
        if self.config.operands == "uniform":
            both = random_digits(key, *sizes)  # (2 * count, longest)
        else:
            positive = self.config.operands == "by-length-positive"
            both = random_digits_by_length(key, *sizes, positive=positive)
        both = np.pad(both, ((0, 0), (0, self.width - both.shape[1])))  # (2 * count, D)
        return Problems(both[:count], both[count:])

    def train_rows(self, step: int, size: int, seed: int) -> tuple[Problems, np.ndarray | None]:
        """See `AnsweringTask`."""
        if self.config.draws == "epochs":
            return super().train_rows(step, size, seed)
        key = RandomKey(seed, "train", step=step)
        return random_prefixes(self, key, size) if self.rows == "prefix" else (random_problems(self, key, size), None)

    def held_out(self, split: str) -> Problems:
        """See `AnsweringTask`."""
        return self.split.problems(split)

    def with_digits(self, digits: int) -> "NumberTask":
        """The same task for operands of at most so many digits, written as in training; see `AnsweringTask`.

        Raises ValueError if the model has no room for them.
        """
        trained = self.trained or self
        longest = trained.config.longest
        if digits == trained.digits:
            return trained
        if not 1 <= digits <= longest:
            raise ValueError(
                f"--digits {digits}: this model has room for 1 to {longest} (--longest when it is trained)"
            )
        changed = replace(
            trained.config,
            digits=digits,
            longest=digits if self.rows == "prefix" else longest,
            context=trained.config.context if digits <= trained.digits else 0,
            curriculum="",
        )
        return type(self)(changed, trained)

    def tests_by_length(self, fewest: int, most: int) -> dict[int, tuple[AnsweringTask, Problems]]:
        """For each length of the longer operand; see `AnsweringTask`."""
        found: dict[int, tuple[AnsweringTask, Problems]] = {}
        for length in range(1, self.config.longest + 1):
            sources = ((task, task.tests_of_length(length, most)) for task in (self, self.with_digits(length)))
            task, problems = max(sources, key=lambda source: len(source[1]))
            if len(problems) >= fewest:
                found[length] = task, problems
        return found

    def tests_of_length(self, length: int, most: int) -> Problems:
        """Test problems whose longer operand has so many digits, at most `most`."""
        problems = self.problems("test")
        return problems[np.maximum(*self.operand_lengths(problems)) == length][:most]

    # Problems as tokens

    def prompts(self, problems: Problems) -> np.ndarray:
        """The operands as token ids, int64 (n, P), padding where a digit is not written."""
        return self.layout.prompts(problems.first, problems.second)

    def answers(self, problems: Problems) -> np.ndarray:
        """The right answers as token ids, int64 (n, answer_length), padding behind the `.`."""
        operands = problems.first, problems.second
        return self.layout.answers(*operands, self.result(*operands), self.negative(*operands) if self.signed else None)

    def position_ids(self, problems: Problems) -> np.ndarray | None:
        """See `AnsweringTask`."""
        order = self.config.position_ids == "order"
        return None if order else self.layout.position_ids(problems.first, problems.second)

    # Where the mistakes lie

    def groups(self, problems: Problems) -> dict[str, np.ndarray]:
        """By what an evaluation is broken down: the digits of the longer operand, int64 (n,)."""
        return {"operand length": np.maximum(*self.operand_lengths(problems))}

    def break_down(self, problems: Problems, right: np.ndarray, places: list[GroupScore]) -> dict[str, Breakdown]:
        """By the task's groups, by place in the answer, and by the digits of both operands."""
        first, second = self.operand_lengths(problems)
        longest = int(max(np.max(first, initial=1), np.max(second, initial=1)))
        grid = Grid(*by_length_pair(right, first, second, longest))
        return super().break_down(problems, right, places) | {"by_operand_lengths": grid}

    def operand_lengths(self, problems: Problems) -> tuple[np.ndarray, np.ndarray]:
        """The digits of the first and of the second operand, int64 (n,) each."""
        return significant_lengths(problems.first), significant_lengths(problems.second)

    # Text

    def statements(self, problems: Problems) -> list[str]:
        """The problems and their true results in decimal: `13 + 3 = 16`."""
        first, second = to_integers(problems.first, self.base), to_integers(problems.second, self.base)
        results = to_integers(self.result(problems.first, problems.second), self.base)
        if self.signed:
            negative = self.negative(problems.first, problems.second)
            results = [-value if minus else value for value, minus in zip(results, negative, strict=True)]
        return [f"{a} {self.symbol} {b} = {c}" for a, b, c in zip(first, second, results, strict=True)]

    def parse(self, text: str) -> Problems:
        """The problem in a text like `1011+110=`, digits in this task's order; the `=` and spaces may be left out.

        Raises ValueError with one sentence that says what is wrong and what is allowed.
        """
        operands = []
        for name, word in zip(
            ("first", "second"), split_operands(text, self.symbol, self.base, self.form(), self.verb), strict=True
        ):
            if not word:
                raise ValueError(f"the {name} operand is empty: {self.form()}")
            if len(word) > self.digits:
                limit = f"this model {self.verb} numbers of at most {self.digits}"
                raise ValueError(f"the {name} operand has {len(word)} digits: {limit}")
            value = int(word[::-1] if self.config.order == "reversed" else word, self.base)
            operands.append(from_integers([value], self.width, self.base))
        return Problems(*operands)

    def read(self, text: str, decimal: bool = False) -> Reading:
        """See `AnsweringTask`. A text in digits of the task's base is read as the task writes numbers; with another
        digit in it, such as the 3 of `13+3` where numbers are binary, it is decimal.
        """
        values, typed = decimal_operands(text, self.symbol), text.strip().removesuffix("=").rstrip()
        if values is not None and (decimal or self.is_decimal_alone(typed)):
            problem = self.problem_of(*values)
            return Reading(problem, True, f"{typed} is read in decimal; written {self.text(problem)[0].prompt}")
        if decimal or self.is_decimal_alone(typed):
            check_decimal(text, self.symbol, f"write {self.symbol.join(map(str, self.example()))}", self.verb)
        problem = self.parse(text)
        if values is None or max(values) >= self.base**self.digits or values == self.operand_values(problem):
            return Reading(problem)
        first, second = self.operand_values(problem)
        where = f"as the model writes numbers, {self.direction()}: {first} {self.symbol} {second}"
        return Reading(problem, False, f"{typed} is read {where}")

    def is_decimal_alone(self, typed: str) -> bool:
        """Whether a text has digits, and one of them that this task's base does not have."""
        return any(digit in "0123456789"[self.base :] for digit in typed)

    def problem_of(self, *values: int) -> Problems:
        """The problem of two whole numbers; raises ValueError, one sentence, if one has too many digits."""
        largest = self.base**self.digits - 1
        for name, value in zip(("first", "second"), values, strict=True):
            if value > largest:
                limit = f"this model {self.verb} numbers of at most {self.digits} {self.digit_name}s"
                raise ValueError(f"the {name} operand is {shortened(value)}: {limit}, which are up to {largest}")
        return Problems(*(from_integers([value], self.width, self.base) for value in values))

    def operand_values(self, problem: Problems) -> tuple[int, int]:
        """The operands of one problem."""
        return to_integers(problem.first, self.base)[0], to_integers(problem.second, self.base)[0]

    def answer_value(self, answer: str) -> int | None:
        """See `AnsweringTask`."""
        return value_of_answer(answer, self.base, self.config.order != "plain")

    @property
    def digit_name(self) -> str:
        """What a digit is called."""
        return "bit" if self.base == 2 else "digit"

    def example(self) -> list[int]:
        """Two operands, 13 and 3 where there is room for them."""
        return [min(value, self.base**self.digits - 1) for value in (13, 3)]

    def form(self) -> str:
        """How a problem is typed, by an example: `write 13 + 3 as 1011+11, least significant bit first`."""
        values = self.example()
        words = [np.base_repr(value, self.base) for value in values]
        written = self.symbol.join(word[::-1] if self.config.order == "reversed" else word for word in words)
        return f"write {f' {self.symbol} '.join(map(str, values))} as {written}, {self.direction()}"

    def direction(self) -> str:
        """The order in which the digits of operands are written."""
        least = "least" if self.config.order == "reversed" else "most"
        return f"{least} significant {self.digit_name} first"

    def describe(self) -> str:
        """The task in one line."""
        config = self.config
        parts = [
            f"a{self.symbol}b of up to {self.digits} {self.digit_name}{'s' * (self.digits > 1)}",
            self.direction() + ", the answer reversed" * (config.order == "reversed-answer"),
            {"zero": "zero-padded", "longer": "zero-padded to the longer operand", "none": "not padded"}[
                config.padding
            ],
            "loss on " + {"answer": "the answer", "all": "all tokens", "padding-too": "all positions"}[config.loss],
        ]
        if config.position_ids != "order":
            parts.append(f"{config.position_ids} position ids")
        if self.rows == "prefix":
            parts.append("one prefix a row")
        if self.trained:
            return ", ".join([*parts, f"for a model trained on up to {self.trained.digits}"])
        parts.append(f"{self.train_size:,} training pairs" if self.train_size else "all but 1 in 8 pairs for training")
        return ", ".join(parts)
