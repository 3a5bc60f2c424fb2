"""Tasks whose problems are a list of texts: `abc=` is answered by `cba.`. One's own, in a file `sorting.py`, which is
trained by `--task sorting.py:Sorting` (docs/tasks.md tells more):

    import itertools
    from tinygrad_arith.tasks import PairTask

    class Sorting(PairTask):
        @staticmethod
        def pairs():
            for letters in itertools.product("abcdef", repeat=5):
                yield "".join(letters), "".join(sorted(letters))

A token is one character. The vocabulary is padding, `=`, the end mark `.` and every character of the pairs, sorted.
"""

import functools
import hashlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..options.words import shortened
from .enumerated import EnumeratedProblems, EnumeratedTask
from .options import RowOptions
from .vocabulary import END, PADDING, Vocabulary

EQUALS = "="
RESERVED = PADDING + EQUALS + END
MOST_PAIRS, LONGEST, MOST_CHARACTERS = 2**20, 10_000, 2**25  # all of them are in memory as tokens


@dataclass(frozen=True)
class PairOptions(RowOptions):
    """The options of tasks of listed pairs."""

    family = "pairs"


@dataclass(frozen=True)
class PairTable:
    """All pairs of a task.

    prompts, answers: int32 (n, P) and (n, A), token ids with padding behind; an answer without its end mark
    digest:           of all texts: another one, and it is another task
    """

    vocabulary: Vocabulary
    prompts: np.ndarray
    answers: np.ndarray
    digest: str


class PairTask(EnumeratedTask):
    """A task of listed pairs; a subclass lists them, all else comes from the configuration.

    class Reversal(PairTask):
        @staticmethod
        def pairs():
            return [("abc", "cba"), ...]
    """

    options = PairOptions

    def __init__(self, config: PairOptions):
        """Takes options whose sizes are settled. Raises ValueError where a sample does not fit into them."""
        own: Any = type(self)  # mypy takes a class for unhashable, which the cache of `table_of` is not to have
        self.table = table_of(own)
        count, width = self.table.prompts.shape
        answer_length = self.table.answers.shape[1] + 1  # the "."
        super().__init__(config, self.table.vocabulary, count, width, answer_length)

    @staticmethod
    def pairs() -> Any:
        """All problems: (prompt, answer) as texts, each prompt once; a list, or whatever gives one after another.

        The same at every call: which are held out, and in which order, follows from the sorted list.
        """
        raise NotImplementedError("there is no method `pairs`")

    @classmethod
    def check_class(cls) -> None:
        """Raise ValueError, the end of a sentence, unless a user's class can list its problems."""
        if cls.pairs is PairTask.pairs:
            raise ValueError("it has no method `pairs`")

    def prompts(self, problems: EnumeratedProblems) -> np.ndarray:
        """The texts before the `=` as token ids, int64 (n, P), padding behind."""
        return self.table.prompts[problems.indices].astype(np.int64)

    def answers(self, problems: EnumeratedProblems) -> np.ndarray:
        """The right answers as token ids, int64 (n, answer_length), padding behind the `.`."""
        return self.ended_answers(self.table.answers[problems.indices])

    def groups(self, problems: EnumeratedProblems) -> dict[str, np.ndarray]:
        """By what an evaluation is broken down: int64 (n,) each."""
        return {
            "length of the prompt": np.sum(self.prompts(problems) != self.vocabulary.padding, axis=1),
            "length of the answer": self.answer_token_counts(problems) - 1,
        }

    def statements(self, problems: EnumeratedProblems) -> list[str]:
        """The problems and their answers: `abc = cba`."""
        return [f"{prompt[:-1]} = {answer[:-1]}" for prompt, answer in self.text(problems)]

    def parse(self, text: str) -> EnumeratedProblems:
        """The problem with this prompt; the `=` may be left out.

        Raises ValueError with one sentence that says what is wrong.
        """
        prompt = text.strip().removesuffix(EQUALS).rstrip()
        ids, known = self.vocabulary.encode(prompt), self.table.prompts  # (p,), (n, P)
        room = max(known.shape[1] - len(ids), 0)
        row = np.pad(ids, (0, room), constant_values=self.vocabulary.padding)[: known.shape[1]]  # (P,)
        found = np.flatnonzero((known == row).all(axis=1))
        if not len(found) or len(ids) > known.shape[1] or self.vocabulary.padding in ids:
            first = self.text(EnumeratedProblems(np.zeros(1, dtype=np.int64)))[0].prompt
            raise ValueError(f"{shortened(prompt)!r} is none of the task's {len(known):,} prompts, such as {first}")
        return EnumeratedProblems(found)

    def describe(self) -> str:
        """The task in one line."""
        rows = ", a row per prefix" if self.rows == "prefix" else ""
        return f"{type(self).__name__}{rows}, {self.train_size:,} training problems"


@functools.lru_cache(maxsize=8)
def table_of(task_class: Any) -> PairTable:
    """The pairs that a class lists, as token ids.

    Raises ValueError with one sentence if they are no pairs of texts, too many or none, others at every call, or if a
    prompt comes twice.
    """
    where = f"{task_class.__name__}.pairs"
    if inspect.isfunction(inspect.getattr_static(task_class, "pairs")) or not callable(task_class.pairs):
        raise ValueError(f"{where}: must be a @staticmethod: the problems are asked for before there is a task")
    pairs = listed_pairs(task_class, where)
    if pairs != listed_pairs(task_class, where):
        raise ValueError(f"{where}: must give the same pairs each time: seed what is drawn")
    prompts, answers = (np.array(texts, dtype=np.str_) for texts in zip(*pairs, strict=True))
    distinct, counts = np.unique(prompts, return_counts=True)
    if len(distinct) < len(prompts):
        raise ValueError(f"{where}: the prompt {str(distinct[counts > 1][0])!r} comes twice")
    characters = sorted({character for pair in pairs for text in pair for character in text})
    vocabulary = Vocabulary((PADDING, EQUALS, END, *characters))
    prompt_ids, answer_ids = (token_ids(texts, characters, len(RESERVED)) for texts in (prompts, answers))
    digest = hashlib.sha256("\n".join(map(EQUALS.join, pairs)).encode()).hexdigest()
    return PairTable(vocabulary, prompt_ids, answer_ids, digest)


def listed_pairs(task_class: Any, where: str) -> list[tuple[str, str]]:
    """What a class lists, sorted, so that the splits do not depend on the order; raises as `table_of`."""
    listed = task_class.pairs()
    if not isinstance(listed, Iterable):
        raise ValueError(f"{where}: must give pairs, one after another, not {listed!r}")
    pairs: list[tuple[str, str]] = []
    longest = 0
    for pair in listed:
        check_pair(where, pair)
        pairs.append(tuple(pair))
        longest = max(longest, *map(len, pair))
        if len(pairs) > MOST_PAIRS or longest > LONGEST or longest * len(pairs) > MOST_CHARACTERS:
            raise ValueError(
                f"{where}: there must be at most {MOST_PAIRS:,}, of at most {LONGEST:,} characters, and no more than "
                f"{MOST_CHARACTERS:,} characters if all were as long as the longest"
            )
    if not pairs:
        raise ValueError(f"{where}: there are none")
    return sorted(pairs)


def check_pair(where: str, pair: Any) -> None:
    """Raise ValueError, one sentence, unless `pair` is a prompt and an answer that can be written as tokens."""
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        raise ValueError(f"{where}: must give pairs of two texts, prompt and answer, not {pair!r}")
    if not pair[0]:
        raise ValueError(f"{where}: the prompt of {pair!r} is empty")
    for character in "".join(pair):
        if character in RESERVED or character.isspace() or not character.isprintable():
            raise ValueError(
                f"{where}: {character!r} in {pair!r}: a text may hold all that is printed but white space and "
                f"{' '.join(RESERVED)}, which are written around it"
            )


def token_ids(texts: np.ndarray, characters: list[str], first: int) -> np.ndarray:
    """Texts (n,) as token ids, int32 (n, longest), 0 behind their ends; `characters`, sorted, have ids from `first`."""
    longest = texts.dtype.itemsize // 4
    points = texts.view(np.uint32).reshape(len(texts), longest)  # (n, longest): code points, 0 behind the end
    known = np.array([ord(character) for character in characters], dtype=np.uint32)
    return np.where(points == 0, 0, first + np.searchsorted(known, points)).astype(np.int32)
