"""Tasks whose problems are few enough to be numbered: a problem is its index, and is written out when it is needed.

What is asked, and what the answer is, says a subclass (`Expressions`, `ModularAddition`). Here is what they share: the
splits, which problems a training step gets, and how problems become rows. Indices are ranked by a hash: the test split
takes the lowest, validation the next, training the rest or, with `train_size`, the first of the rest. Sizes are met
exactly, a larger test or training split begins with a smaller one, and no training seed has a say in it.
"""

from typing import Any

import numpy as np

from .answering import AnsweringTask
from .batch import EnumeratedProblems
from .rows import packed_left
from .sizes import kept_sizes
from .splits import HELD_OUT, PARTS, mix
from .vocabulary import Vocabulary


def hash_indices(count: int, seed: int) -> np.ndarray:
    """A hash of each index below `count`, uint64 (count,)."""
    state = mix(np.full(1, seed, dtype=np.uint64))  # (1,)
    return mix((state ^ np.arange(count, dtype=np.uint64)) + np.uint64(0x9E3779B97F4A7C15))


class EnumeratedTask(AnsweringTask):
    """What the enumerated tasks share; see `AnsweringTask` for what the methods promise."""

    def __init__(self, config: Any, vocabulary: Vocabulary, count: int, prompt_length: int, answer_length: int):
        """As `AnsweringTask`, with the number of problems, `count`."""
        super().__init__(config, vocabulary, prompt_length, answer_length)
        ranking, sizes = (
            np.argsort(hash_indices(count, config.split_seed), kind="stable"),
            kept_sizes(config),
        )  # (count,)
        *held_out, rest = np.split(ranking, np.cumsum([sizes[part] for part in HELD_OUT]))
        self.split = dict(zip(PARTS, (*held_out, rest[: config.train_size or None]), strict=True))
        self.listed = EnumeratedProblems(self.split["train"])

    def held_out(self, split: str) -> EnumeratedProblems:
        """All problems of "validation" or "test", in the order of their hashes."""
        return EnumeratedProblems(self.split[split])

    def ended_answers(self, tokens: np.ndarray) -> np.ndarray:
        """Answers (n, A), maybe padded, with a `.` behind each: int64 (n, A + 1), padding behind that."""
        end = np.full((len(tokens), 1), self.vocabulary.end, dtype=np.int64)  # (n, 1)
        return packed_left(np.concatenate([tokens, end], axis=1), self.vocabulary.padding)
