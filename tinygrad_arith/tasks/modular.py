"""Addition modulo p, the task on which models grok: `5 111 =` is answered by `3` at p = 113.

After Power et al. 2022, arXiv 2201.02177, in the layout of Nanda et al. 2023, arXiv 2301.05217: each number is one
token, there is no `+`, and the answer is one token without an end mark. A row is `a b =`, three positions; the answer
is never read, only predicted. The pairs are numbered a * p + b. p need not be prime.
"""

from dataclasses import dataclass

import numpy as np

from ..options.option import option
from ..options.words import shortened
from .enumerated import EnumeratedProblems, EnumeratedTask
from .options import ProblemOptions
from .vocabulary import Vocabulary


@dataclass(frozen=True)
class ModularOptions(ProblemOptions):
    """The options of modular addition."""

    family = "modular-addition"

    modulus: int = option(113, "of modular addition", range=(2, 250))


class ModularAddition(EnumeratedTask):
    """The task. See `AnsweringTask` for what the methods promise, and the top of this file for the layout."""

    options = ModularOptions
    size_flag = "modulus"
    train_share = 0.3  # as published

    @classmethod
    def problem_count(cls, options: ModularOptions) -> int:
        """All pairs."""
        return options.modulus**2

    def __init__(self, config: ModularOptions):
        """Takes options whose sizes are settled; raises ValueError where options do not fit together."""
        self.modulus = config.modulus
        vocabulary = Vocabulary((*map(str, range(self.modulus)), "="), separator=" ")
        super().__init__(config, vocabulary, count=self.modulus**2, prompt_length=2, answer_length=1)
        self.context = self.longest_context = 3  # of `a b = c` the last token is never read
        self.position_count = self.context + config.position_offset

    def operands(self, problems: EnumeratedProblems) -> tuple[np.ndarray, np.ndarray]:
        """Both operands, int64 (n,) each."""
        first, second = np.divmod(problems.indices, self.modulus)
        return first, second

    def prompts(self, problems: EnumeratedProblems) -> np.ndarray:
        """The operands as token ids, int64 (n, 2)."""
        return np.stack(self.operands(problems), axis=1)

    def answers(self, problems: EnumeratedProblems) -> np.ndarray:
        """The right answers as token ids, int64 (n, 1)."""
        first, second = self.operands(problems)
        return ((first + second) % self.modulus)[:, None]

    def number_tokens(self) -> np.ndarray:
        """The ids of the numbers, which are the numbers themselves, int64 (p,)."""
        return np.arange(self.modulus)

    def groups(self, problems: EnumeratedProblems) -> dict[str, np.ndarray]:
        """By what an evaluation is broken down: int64 (n,) each."""
        first, second = self.operands(problems)
        return {"times the modulus is taken off": (first + second) // self.modulus}

    def statements(self, problems: EnumeratedProblems) -> list[str]:
        """The problems and their true results: `5 + 111 = 3 (mod 113)`."""
        numbers = zip(*self.operands(problems), self.answers(problems)[:, 0], strict=True)
        return [f"{a} + {b} = {c} (mod {self.modulus})" for a, b, c in numbers]

    def parse(self, text: str) -> EnumeratedProblems:
        """The problem in a text like `5 111 =`; the `=` may be left out, a `+` between the numbers is allowed.

        Raises ValueError with one sentence that says what is wrong and what is allowed.
        """
        words = text.replace("+", " + ").replace("=", " = ").split()
        if words and words[-1] == "=":
            words.pop()
        if len(words) == 3 and words[1] == "+":
            del words[1]
        if len(words) != 2 or not all(word.isdecimal() for word in words):
            raise ValueError(
                f"{shortened(text.strip())!r} is no problem: write two numbers, such as 1 {self.modulus - 1} ="
            )
        for word in words:
            if len(word) > 9 or int(word) >= self.modulus:
                raise ValueError(f"{shortened(word)}: must be 0 to {self.modulus - 1}, below the modulus")
        return EnumeratedProblems(np.array([int(words[0]) * self.modulus + int(words[1])], dtype=np.int64))

    def describe(self) -> str:
        """The task in one line."""
        return f"a+b modulo {self.modulus}, {self.train_size:,} training pairs"
