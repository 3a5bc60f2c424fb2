"""Tasks whose problems are few enough to be numbered: a problem is its index, and is written out when it is needed.

What is asked, and what the answer is, says a subclass (`Expressions`, `ModularAddition`). Here is what they share: the
splits, which problems a training step gets, and how problems become rows. Indices are ranked by a hash: the test split
takes the lowest, validation the next, training the rest or, with `train_size`, the first of the rest. Sizes are met
exactly, a larger test or training split begins with a smaller one, and no training seed has a say in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import RandomKey, integers
from . import scoring
from .batch import Batch, Problem
from .config import TaskConfig
from .positions import with_offsets
from .rows import all_prefix_rows, epoch_indices, next_token_targets, packed_left, prefix_rows
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


class EnumeratedTask:
    """What the enumerated tasks share; see `Task` for what the methods promise."""

    def __init__(self, config: TaskConfig, vocabulary: Vocabulary, count: int, prompt_length: int, answer_length: int):
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
        self.ends: np.ndarray | None = None  # made when first asked for

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

    def problems(self, split: str, count: int) -> EnumeratedProblems:
        """The first `count` problems of "validation" or "test"; raises ValueError if the split holds fewer."""
        if split not in HELD_OUT:
            raise ValueError(f"split {split!r}: must be one of {', '.join(HELD_OUT)}")
        if not 0 <= count <= len(self.split[split]):
            raise ValueError(f"--count {count}: the {split} split holds {len(self.split[split]):,} problems")
        return EnumeratedProblems(self.split[split][:count])

    def train_problems(self, step: int, batch_size: int, seed: int) -> EnumeratedProblems:
        """The problems in the batch of a training step, one a row."""
        return self.train_draw(step, batch_size, seed)[0]

    def train_draw(self, step: int, batch_size: int, seed: int) -> tuple[EnumeratedProblems, np.ndarray | None]:
        """The problem of each row of a training batch, and which token of its answer it predicts: int64 (n,).

        None where a row is a whole sample.
        """
        if self.rows == "whole":
            chosen = self.draw_rows(step, batch_size, seed, len(self.split["train"]))  # (n,)
            return EnumeratedProblems(self.split["train"][chosen]), None
        ends = self.prefix_ends()  # (train_size,)
        chosen = self.draw_rows(step, batch_size, seed, int(ends[-1]))  # (n,), in all prefixes one after another
        rank = np.searchsorted(ends, chosen, side="right")  # (n,), whose prefix it is
        begins = np.where(rank > 0, ends[rank - 1], 0)  # (n,)
        return EnumeratedProblems(self.split["train"][rank]), chosen - begins

    def draw_rows(self, step: int, batch_size: int, seed: int, count: int) -> np.ndarray:
        """Which of `count` training rows are in a step's batch: int64 (batch_size,)."""
        if self.config.draws == "epochs":
            return epoch_indices(RandomKey(seed, "train.order"), step, batch_size, count)
        return integers(RandomKey(seed, "train", step=step), batch_size, 0, count)

    def prefix_ends(self) -> np.ndarray:
        """How many prefixes there are up to and including those of each training problem: int64 (train_size,)."""
        if self.ends is None:
            self.ends = np.cumsum(self.lengths_of_answers(EnumeratedProblems(self.split["train"])))
        return self.ends

    def lengths_of_answers(self, problems: EnumeratedProblems) -> np.ndarray:
        """How many tokens each answer has: int64 (n,)."""
        return np.sum(self.answers(problems) != self.vocabulary.padding, axis=1)

    # Problems as tokens

    def prompts(self, problems: EnumeratedProblems) -> np.ndarray:
        """The prompts as token ids, int64 (n, prompt_width + 1): padding, if any, just before the `=`."""
        raise NotImplementedError

    def answers(self, problems: EnumeratedProblems) -> np.ndarray:
        """The right answers as token ids, int64 (n, answer_length), padding behind their end mark."""
        raise NotImplementedError

    def samples(self, problems: EnumeratedProblems) -> np.ndarray:
        """Whole samples, padded: int64 (n, the context, or one more where the last token is never read)."""
        samples = np.concatenate([self.prompts(problems), self.answers(problems)], axis=1)
        if self.rows == "whole":
            samples = packed_left(samples, self.vocabulary.padding)
        missing = max(0, self.context - samples.shape[1])
        return np.pad(samples, ((0, 0), (0, missing)), constant_values=self.vocabulary.padding)

    def train_batch(self, step: int, batch_size: int, seed: int) -> Batch:
        """The batch of a training step: a pure function of its arguments."""
        problems, places = self.train_draw(step, batch_size, seed)
        if places is not None:
            rows = prefix_rows(self.samples(problems), self.prompt_width + 1, places, self.vocabulary.padding)
            return self.masked_batch(*rows)
        batch = self.batch(problems)
        if self.config.position_offset == 0:
            return batch
        key = RandomKey(seed, "train.offset", step=step)
        positions = np.broadcast_to(np.arange(self.context), batch.tokens.shape)  # (B, T)
        return batch._replace(positions=with_offsets(positions, key, self.config.position_offset, zeros_too=True))

    def batch(self, problems: EnumeratedProblems) -> Batch:
        """The problems with their right answers: a row each, or with prefix rows `answer_length` rows each."""
        samples = self.samples(problems)
        if self.rows == "prefix":
            rows = all_prefix_rows(samples, self.prompt_width + 1, self.answer_length, self.vocabulary.padding)
            return self.masked_batch(*rows)
        bears_loss = np.ones_like(samples, dtype=bool)  # (n, T)
        behind = -1
        if self.config.loss == "padding-too":
            behind = self.vocabulary.padding
        else:
            bears_loss &= samples != self.vocabulary.padding
        if self.config.loss == "answer":
            bears_loss &= np.arange(samples.shape[1]) > self.equals_place(samples)[:, None]
        return self.masked_batch(samples, next_token_targets(samples, bears_loss, behind))

    def masked_batch(self, tokens: np.ndarray, targets: np.ndarray) -> Batch:
        """Tokens and targets, no longer than the context, with a key mask unless padding is learned too."""
        tokens, targets = tokens[:, : self.context], targets[:, : self.context]
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

    def equals_place(self, tokens: np.ndarray) -> np.ndarray:
        """Where the `=` stands in each row of `tokens` (n, T): int64 (n,)."""
        return (tokens == self.vocabulary.ids["="]).argmax(axis=1)

    # Answers

    def answer_predictions(self, logits: Any, batch: Batch) -> np.ndarray:
        """What a model answers, from its logits (n, T, V) on whole problems: int64 (n, answer_length).

        With prefix rows the logits are (n * answer_length, 1, V).
        """
        if self.rows == "prefix":
            return scoring.prefix_predictions(logits, self.answer_length)
        return scoring.answer_predictions(logits, batch.tokens, self.vocabulary.ids["="], self.answer_length)

    def score(self, predictions: np.ndarray, problems: EnumeratedProblems) -> np.ndarray:
        """Which answers (n, answer_length) are right in full: bool (n,)."""
        return scoring.exact_match(predictions, self.answers(problems), self.vocabulary.padding)

    def operand_lengths(self, problems: EnumeratedProblems) -> None:
        """None: there are not two operands of some length each."""
        return None

    def with_digits(self, digits: int) -> Any:
        """Raises ValueError: these problems have no number of digits."""
        raise ValueError(f"--digits {digits}: means nothing for --task {self.config.task}; leave it out")

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


def at_least(flag: str, chosen: int, needed: int, where: str) -> int:
    """The chosen size, or the one that is needed where it was left open (0); raises ValueError if it is too small."""
    if chosen and chosen < needed:
        raise ValueError(f"--{flag} {chosen}: must be at least {needed}, the tokens {where}")
    return chosen or needed
