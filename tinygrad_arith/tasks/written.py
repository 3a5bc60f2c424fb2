"""What the tasks share once their problems are rows of tokens: batches, targets, scores.

How a problem is written, and which are trained on, says a subclass: `NumberTask`, `EnumeratedTask`.
"""

from typing import Any

import numpy as np

from ..backend import RandomKey
from . import scoring
from .arithmetic.positions import with_row_offsets
from .batch import Batch
from .config import TaskConfig
from .rows import all_prefix_rows, next_token_targets, prefix_rows
from .splits import HELD_OUT
from .vocabulary import Vocabulary


class WrittenTask:
    """A task whose problems are written as `prompt=answer`; see `Task` for what the methods promise."""

    config: TaskConfig
    vocabulary: Vocabulary
    rows: str
    context: int
    answer_length: int
    prompt_width: int  # tokens before the `=` where a row is a prefix

    # What a subclass says

    def train_rows(self, step: int, batch_size: int, seed: int) -> tuple[Any, np.ndarray | None]:
        """The problem of each row of a training batch, and which token of its answer the row predicts: int64 (n,).

        None where a row is a whole sample.
        """
        raise NotImplementedError

    def all_held_out(self, split: str) -> Any:
        """All problems of "validation" or "test"."""
        raise NotImplementedError

    def samples(self, problems: Any) -> np.ndarray:
        """Whole samples as token ids, padded: int64 (n, T), or more columns where the last token is never read."""
        raise NotImplementedError

    def whole_batch(self, problems: Any) -> Batch:
        """The problems with their right answers, a row each."""
        raise NotImplementedError

    def answers(self, problems: Any) -> np.ndarray:
        """The right answers as token ids, int64 (n, answer_length), padding behind their end mark."""
        raise NotImplementedError

    # What follows from it

    def problems(self, split: str, count: int) -> Any:
        """The first `count` problems of "validation" or "test"; the training seed has no influence on them.

        Raises ValueError if the split holds fewer.
        """
        if split not in HELD_OUT:
            raise ValueError(f"split {split!r}: must be one of {', '.join(HELD_OUT)}")
        found = self.all_held_out(split)
        if not 0 <= count <= len(found):
            raise ValueError(f"the {split} split holds {len(found):,} problems, not {count:,}")
        return found[:count]

    def train_problems(self, step: int, batch_size: int, seed: int) -> Any:
        """The problems of the rows of a training step's batch."""
        return self.train_rows(step, batch_size, seed)[0]

    def train_batch(self, step: int, batch_size: int, seed: int) -> Batch:
        """The batch of a training step, `batch_size` rows: a pure function of its arguments."""
        problems, places = self.train_rows(step, batch_size, seed)
        if places is not None:
            start = self.prompt_width + 1
            return self.prefix_batch(*prefix_rows(self.samples(problems), start, places, self.vocabulary.padding))
        batch = self.whole_batch(problems)
        if self.config.position_offset == 0:
            return batch
        key = RandomKey(seed, "train.offset", step=step)
        in_order = self.config.position_ids == "order"
        return with_row_offsets(batch, key, self.config.position_offset, zeros_too=in_order)

    def batch(self, problems: Any) -> Batch:
        """The problems with their right answers: a row each, or all their prefixes, `answer_length` rows each."""
        if self.rows == "whole":
            return self.whole_batch(problems)
        start, padding = self.prompt_width + 1, self.vocabulary.padding
        return self.prefix_batch(*all_prefix_rows(self.samples(problems), start, self.answer_length, padding))

    def prefix_batch(self, tokens: np.ndarray, targets: np.ndarray) -> Batch:
        """Prefixes of samples and their next tokens (n, 1) as a batch: columns behind the context are all padding."""
        tokens = tokens[:, : self.context]  # (n, T)
        return Batch(tokens, targets, key_mask=tokens != self.vocabulary.padding)

    def targets(self, tokens: np.ndarray) -> np.ndarray:
        """The token to be predicted at each position of samples (n, W), -1 where that bears no loss: int64 (n, W)."""
        padding = self.vocabulary.padding
        if self.config.loss == "padding-too":
            return next_token_targets(tokens, np.ones_like(tokens, dtype=bool), behind=padding)
        counted = tokens != padding  # (n, W)
        if self.config.loss == "answer":
            counted &= np.arange(tokens.shape[1]) > self.equals_place(tokens)[:, None]
        return next_token_targets(tokens, counted)

    def equals_place(self, tokens: np.ndarray) -> np.ndarray:
        """Where the `=` stands in each row of `tokens` (n, W): int64 (n,)."""
        return (tokens == self.vocabulary.ids["="]).argmax(axis=1)

    def answer_token_counts(self, problems: Any) -> np.ndarray:
        """How many tokens each answer has, its end mark included: int64 (n,)."""
        return np.count_nonzero(self.answers(problems) != self.vocabulary.padding, axis=1)

    def answer_predictions(self, logits: Any, batch: Batch) -> np.ndarray:
        """What a model answers, from its logits on `batch(problems)`: int64 (n, answer_length)."""
        if self.rows == "prefix":
            return scoring.prefix_predictions(logits, self.answer_length)
        return scoring.answer_predictions(logits, batch.tokens, self.vocabulary.ids["="], self.answer_length)

    def score(self, predictions: np.ndarray, problems: Any) -> np.ndarray:
        """Which answers (n, answer_length) are right in full: bool (n,)."""
        return scoring.exact_match(predictions, self.answers(problems), self.vocabulary.padding)
