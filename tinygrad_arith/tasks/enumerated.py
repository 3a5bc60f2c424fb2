"""Tasks whose problems are few enough to be numbered: a problem is its index, and is written out when it is needed.

What is asked, and what the answer is, says a subclass (`Expressions`, `ModularAddition`). Here is what they share: the
splits, which problems a training step gets, and how problems become rows. Indices are ranked by a hash: the test split
takes the lowest, validation the next, training the rest or, with `train_size`, the first of the rest. Sizes are met
exactly, a larger test or training split begins with a smaller one, and no training seed has a say in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..backend import RandomKey, integers
from ..objectives import Batch
from .answering import AnsweringTask
from .batch import Problem
from .options import ProblemOptions
from .rows import at_least, epoch_indices, packed_left, prefix_at
from .splits import HELD_OUT, mix
from .vocabulary import NO_TOKEN, Vocabulary


@dataclass(frozen=True)
class EnumeratedProblems:
    """`n` problems of an enumerated task.

    indices: int64 (n,), in the order in which the task numbers its problems
    """

    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, rows) -> "EnumeratedProblems":
        """The problems of a slice, an index array or a bool mask."""
        return EnumeratedProblems(self.indices[rows])

    def chunks(self, size: int) -> Iterator["EnumeratedProblems"]:
        """The problems in order, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]


def hash_indices(count: int, seed: int) -> np.ndarray:
    """A hash of each index below `count`, uint64 (count,)."""
    state = mix(np.full(1, seed, dtype=np.uint64))  # (1,)
    return mix((state ^ np.arange(count, dtype=np.uint64)) + np.uint64(0x9E3779B97F4A7C15))


class EnumeratedTask(AnsweringTask):
    """What the enumerated tasks share; see `AnsweringTask` for what the methods promise.

    options:      the class of the options that a kind has
    size_flag:    the option that decides how many problems there are
    train_share:  of the problems, trained on where no size is given
    """

    options: type[ProblemOptions] = ProblemOptions
    size_flag = "task"
    train_share = 0.0
    lists_all = True
    problems_are = "problems"

    def __init__(
        self, config: ProblemOptions, vocabulary: Vocabulary, count: int, prompt_length: int, answer_length: int
    ):
        """Takes a valid and resolved configuration; all else is the subclass's.

        count:         how many problems there are
        prompt_length: tokens of the longest prompt before its `=`
        answer_length: tokens of the longest answer, its end mark included

        Raises ValueError with one sentence naming the flag if a sample does not fit into what the configuration gives.
        """
        self.config = config
        self.vocabulary = vocabulary
        self.rows = config.rows
        self.prompt_width = at_least("prompt-width", config.prompt_width, prompt_length, "before the = of a prompt")
        self.answer_length = answer_length
        # In a row that is a prefix, the last token of the answer is never read.
        needed = self.prompt_width + answer_length + (config.rows == "whole")
        self.context = at_least("context", config.context, needed, "for the longest sample")
        self.longest_context = self.context
        self.position_count = self.context + config.position_offset
        self.split = self.split_indices(count)
        self.train_size = len(self.split["train"])
        self.prefix_ends: np.ndarray | None = None  # see `prefix_at`; made when first asked for

    # What is learned from, and what is tested on

    def split_indices(self, count: int) -> dict[str, np.ndarray]:
        """The problem indices of each split, int64 each."""
        config = self.config
        sizes = {"test": config.test_size, "validation": config.validation_size}
        if config.validation == "test":
            sizes["validation"] = 0
        ranking = np.argsort(hash_indices(count, config.split_seed), kind="stable")  # (count,)
        ends = np.cumsum([sizes[split] for split in HELD_OUT])
        split = dict(zip((*HELD_OUT, "train"), np.split(ranking, ends), strict=True))
        if config.validation == "test":
            split["validation"] = split["test"][: config.validation_size]
        if config.train_size:
            split["train"] = split["train"][: config.train_size]
        return split

    def all_held_out(self, split: str) -> EnumeratedProblems:
        """All problems of "validation" or "test", in the order of their hashes."""
        return EnumeratedProblems(self.split[split])

    def train_rows(self, step: int, size: int, seed: int) -> tuple[EnumeratedProblems, np.ndarray | None]:
        """The problem of each row of a training batch, and which token of its answer it predicts: int64 (n,).

        None where a row is a whole sample.
        """
        train = EnumeratedProblems(self.split["train"])
        if self.rows == "whole":
            return train[self.draw_rows(step, size, seed, len(train))], None
        if self.prefix_ends is None:
            self.prefix_ends = np.cumsum(self.answer_token_counts(train))  # (train_size,)
        chosen = self.draw_rows(step, size, seed, int(self.prefix_ends[-1]))  # (n,), in all prefixes
        rows, places = prefix_at(self.prefix_ends, chosen)
        return train[rows], places

    def draw_rows(self, step: int, size: int, seed: int, count: int) -> np.ndarray:
        """Which of `count` training rows are in a step's batch: int64 (size,)."""
        if self.config.draws == "epochs":
            return epoch_indices(RandomKey(seed, "train.order"), step, size, count)
        return integers(RandomKey(seed, "train", step=step), size, 0, count)

    # Problems as tokens

    def prompts(self, problems: EnumeratedProblems) -> np.ndarray:
        """The prompts as token ids, int64 (n, prompt_width + 1): padding, if any, just before the `=`."""
        raise NotImplementedError

    def padded_prompts(self, slots: np.ndarray) -> np.ndarray:
        """Prompts int64 (n, P), maybe with padding in between, as `prompts` returns them: (n, prompt_width + 1)."""
        prompts = np.full((len(slots), self.prompt_width + 1), self.vocabulary.padding, dtype=np.int64)
        prompts[:, : slots.shape[1]] = packed_left(slots, self.vocabulary.padding)
        prompts[:, -1] = self.vocabulary.ids["="]
        return prompts

    def ended_answers(self, tokens: np.ndarray) -> np.ndarray:
        """Answers (n, A), maybe padded, with a `.` behind each: int64 (n, A + 1), padding behind that."""
        end = np.full((len(tokens), 1), self.vocabulary.end, dtype=np.int64)  # (n, 1)
        return packed_left(np.concatenate([tokens, end], axis=1), self.vocabulary.padding)

    def samples(self, problems: EnumeratedProblems) -> np.ndarray:
        """Whole samples, padded: int64 (n, T), or (n, T + 1) where the last token is never read."""
        samples = np.concatenate([self.prompts(problems), self.answers(problems)], axis=1)
        if self.rows == "whole":
            samples = packed_left(samples, self.vocabulary.padding)
        missing = max(0, self.context - samples.shape[1])
        return np.pad(samples, ((0, 0), (0, missing)), constant_values=self.vocabulary.padding)

    def whole_batch(self, problems: EnumeratedProblems) -> Batch:
        """The problems with their right answers, (n, T), with a key mask unless padding is learned too."""
        samples = self.samples(problems)  # (n, T or T + 1)
        tokens, targets = samples[:, : self.context], self.targets(samples)[:, : self.context]  # (n, T)
        padded = self.vocabulary.padding != NO_TOKEN and self.config.loss != "padding-too"
        return Batch(tokens, targets, key_mask=tokens != self.vocabulary.padding if padded else None)

    def prompt(self, problem: EnumeratedProblems) -> Batch:
        """One problem up to and including its `=`: tokens (1, Tp)."""
        padding = self.vocabulary.padding
        tokens = self.prompts(problem)
        if self.rows == "whole":
            tokens = tokens[tokens != padding][None, :]
        key_mask = None
        if (tokens == padding).any() and self.config.loss != "padding-too":
            key_mask = np.pad(tokens != padding, ((0, 0), (0, self.answer_length)), constant_values=True)
        return Batch(tokens, np.full_like(tokens, -1), key_mask=key_mask)

    # Text

    def text(self, problems: EnumeratedProblems) -> list[Problem]:
        """The problems as they are written for the model; padding is left out."""
        padding, separator = self.vocabulary.padding, self.vocabulary.separator
        return [
            Problem(
                self.vocabulary.decode(prompt[prompt != padding]) + separator,
                self.vocabulary.decode(answer[answer != padding]),
            )
            for prompt, answer in zip(self.prompts(problems), self.answers(problems), strict=True)
        ]
