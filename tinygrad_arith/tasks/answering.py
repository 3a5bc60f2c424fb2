"""Tasks of problems with answers: each problem is written as `prompt=answer`, and scores by exact match.

How a problem is written, and which are trained on, says a subclass: `NumberTask`, `EnumeratedTask`.
"""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd import no_grad
from ..backend import RandomKey, integers
from ..nn import Module
from ..objectives import NEXT_TOKEN, Batch, Objective
from ..options.errors import UserError
from . import scoring, sizes
from .answers import as_preview, sample_answer
from .arithmetic.positions import with_row_offsets
from .batch import Problem
from .metrics import EXACT_MATCH, Breakdown, Goal, Groups, Metrics, Preview
from .options import ProblemOptions
from .rows import all_prefix_rows, next_token_targets, prefix_rows
from .splits import HELD_OUT
from .vocabulary import Vocabulary

if TYPE_CHECKING:
    from .task import Task

BATCH = 500  # problems per forward pass
SHOWN = 5  # problems, and mistakes, of a preview


@dataclass(frozen=True, kw_only=True)
class AnswerMetrics(Metrics):
    """The answers of a model to `n` problems.

    predictions: int64 (n, answer_length), the most likely token at each place, given the right ones before it
    right:       bool (n,), whether the whole answer is right
    """

    problems: Any
    predictions: np.ndarray
    right: np.ndarray


class AnsweringTask:
    """A `Task` whose models answer problems. Sizes: n problems, T = `context` positions, V tokens.

    Problems are whatever a subclass calls so: they have a length, `problems[rows]` takes a slice, an index array or a
    bool mask, and `problems.chunks(size)` goes through them in order.

    A row of a batch is a whole sample with all its next tokens (`rows` = "whole"), or one prefix of a sample with the
    one token that follows it (`rows` = "prefix").
    """

    objective: Objective = NEXT_TOKEN
    goal: Goal = EXACT_MATCH
    pure_batches = True
    config: ProblemOptions  # sizes settled
    vocabulary: Vocabulary
    rows: str
    context: int
    longest_context: int
    position_count: int
    answer_length: int  # tokens of the longest answer, its end mark included
    prompt_width: int  # tokens before the `=` where a row is a prefix
    trained_length: int | None = None  # of the longest operands in training, where the problems have a length

    # What a subclass says

    @classmethod
    def problem_count(cls, options: Any) -> int:
        """How many distinct problems there are with these options, of training and held out together."""
        raise NotImplementedError

    def train_rows(self, step: int, size: int, seed: int) -> tuple[Any, np.ndarray | None]:
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

    def prompt(self, problem: Any) -> Batch:
        """One problem up to and including its `=`, for generation: tokens (1, Tp), targets all -1.

        positions: None, or (1, Tp + answer_length): those of the answer to come too. key_mask: likewise
        """
        raise NotImplementedError

    def groups(self, problems: Any) -> dict[str, np.ndarray]:
        """By what an evaluation is broken down: int64 (n,) by title, such as "operand length"."""
        raise NotImplementedError

    def text(self, problems: Any) -> list[Problem]:
        """The problems as people and prompts write them, without padding."""
        raise NotImplementedError

    def statements(self, problems: Any) -> list[str]:
        """The problems and their true results in decimal: `13 + 3 = 16`."""
        raise NotImplementedError

    def parse(self, text: str) -> Any:
        """The one problem that a person typed; ValueError with one sentence if it is none."""
        raise NotImplementedError

    def describe(self) -> str:
        """The task in one line."""
        raise NotImplementedError

    # What some tasks say

    def with_digits(self, digits: int) -> "AnsweringTask":
        """The same task for operands of at most so many digits, up to the model's longest; no problem of its held-out
        splits was trained on. Their sizes may be smaller, where there are not as many: see its `config`.

        Raises ValueError where the model has no room for them or the task has no digits.
        """
        raise ValueError(f"--digits {digits}: means nothing for --task {self.config.kind}; leave it out")

    def tests_by_length(self, fewest: int, most: int) -> dict[int, tuple["AnsweringTask", Any]]:
        """For each length of problems, up to the longest that a model has room for: a task, and test problems of it.

        Between `fewest` and `most` of each; a length of which there are fewer is left out. Nothing for a task whose
        problems have no length.
        """
        return {}

    def number_tokens(self) -> np.ndarray | None:
        """The ids of the tokens that stand for the numbers 0 to p - 1 of arithmetic modulo p, (p,); None if none do."""
        return None

    # What follows from it

    def problems(self, split: str, count: int | None = None) -> Any:
        """The first `count` problems of "validation" or "test", or all; the training seed has no influence on them.

        Raises ValueError if the split holds fewer.
        """
        if split not in HELD_OUT:
            raise ValueError(f"split {split!r}: must be one of {', '.join(HELD_OUT)}")
        found = self.all_held_out(split)
        count = len(found) if count is None else count
        if not 0 <= count <= len(found):
            raise ValueError(f"the {split} split holds {len(found):,} problems, not {count:,}")
        return found[:count]

    def train_problems(self, step: int, size: int, seed: int) -> Any:
        """The problems of the rows of a training step's batch."""
        return self.train_rows(step, size, seed)[0]

    def train_batch(self, step: int, size: int, seed: int, rows: slice = slice(None)) -> Batch:
        """The batch of a training step, or some of its `size` rows: a pure function of its arguments.

        Targets have the shape of the tokens or, where a row is a prefix, (n, 1).
        """
        problems, places = self.train_rows(step, size, seed)
        if places is not None:
            start = self.prompt_width + 1
            samples, places = self.samples(problems[rows]), places[rows]
            return self.prefix_batch(*prefix_rows(samples, start, places, self.vocabulary.padding))
        batch = self.whole_batch(problems[rows])
        if self.config.position_offset == 0:
            return batch
        key, largest = RandomKey(seed, "train.offset", step=step), self.config.position_offset
        offsets = integers(key, (size, 1), 0, largest + 1)[rows]  # (n, 1)
        return with_row_offsets(batch, offsets, zeros_too=self.config.position_ids == "order")

    def batch(self, problems: Any) -> Batch:
        """The problems with their right answers as a batch (n, T).

        Where a row is a prefix: (n * answer_length, T), all prefixes of the first problem, then those of the next;
        targets (n * answer_length, 1) are -1 where the answer has ended.
        """
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
        """What a model answers, from its logits on `batch(problems)`: token ids, int64 (n, answer_length).

        logits (n, T, V), or (n * answer_length, 1, V) where a row is a prefix.
        """
        if self.rows == "prefix":
            return scoring.prefix_predictions(logits, self.answer_length)
        return scoring.answer_predictions(logits, batch.tokens, self.vocabulary.ids["="], self.answer_length)

    def score(self, predictions: np.ndarray, problems: Any) -> np.ndarray:
        """Which answers (n, answer_length) are right in full: bool (n,)."""
        return scoring.exact_match(predictions, self.answers(problems), self.vocabulary.padding)

    # How a model does

    settled = classmethod(sizes.settled)  # see `Task.settled`

    def split_size(self, split: str) -> int:
        """See `Task.split_size`."""
        return len(self.all_held_out(split))

    def evaluate(self, model: Module, split: str, count: int | None = None) -> AnswerMetrics:
        """See `Task.evaluate`."""
        return self.judge(model, self.problems(split, count))

    def judge(self, model: Module, problems: Any, batch_size: int = BATCH) -> AnswerMetrics:
        """Let a model answer problems, `batch_size` at a time. Raises UserError if there are none."""
        if not len(problems):
            raise UserError("there are no problems to evaluate the model on")
        predictions = np.zeros((len(problems), self.answer_length), dtype=np.int64)  # (n, answer_length)
        total, counted, done = 0.0, 0, 0
        with no_grad():
            for chunk in problems.chunks(batch_size):
                batch = self.batch(chunk)
                loss = self.objective.loss(model, batch)
                predictions[done : done + len(chunk)] = self.answer_predictions(loss.outputs.data, batch)
                total += loss.total.item()
                counted += self.objective.count(batch)
                done += len(chunk)
        right = self.score(predictions, problems)  # (n,)
        scored = predictions, self.answers(problems), self.vocabulary.padding
        places = scoring.by_position(*scored)
        correct, shares = int(right.sum()), [place.correct / place.total for place in places]
        values = {"exact_match": correct / len(right), "by_position": shares, "loss": total / max(counted, 1)}
        if self.rows == "prefix" and (share := scoring.share_in_fives(*scored)) is not None:
            values["in_fives"] = share
        return AnswerMetrics(
            goal=self.goal,
            count=len(right),
            correct=correct,
            values=values,
            break_down=partial(self.break_down, problems, right, places),
            problems=problems,
            predictions=predictions,
            right=right,
        )

    def break_down(self, problems: Any, right: np.ndarray, places: list[scoring.GroupScore]) -> dict[str, Breakdown]:
        """Where the mistakes lie: by the task's groups, and by place in the answer."""
        found: dict[str, Breakdown] = {}
        for title, groups in self.groups(problems).items():
            name = f"by_{title.replace(' ', '_')}"
            found[name] = Groups(title, scoring.by_group(right, groups), f"by {title}")
        heading = "by place in the answer (tokens, not whole answers)"
        return found | {"by_answer_position": Groups("token of the answer", places, heading, problems=False)}

    def preview(self, model: Module, metrics: Metrics) -> list[Preview]:
        """Answers to the first problems of an evaluation, and mistakes if there are any beyond those."""
        assert isinstance(metrics, AnswerMetrics)  # as `evaluate` gives them
        wrong = np.flatnonzero(~metrics.right)
        listed = wrong[:SHOWN] if (wrong[:SHOWN] >= SHOWN).any() else wrong[:0]  # else the first problems show them
        first, mistakes = (
            [sample_answer(model, self, metrics.problems[i : i + 1]) for i in chosen]
            for chosen in (range(min(SHOWN, metrics.count)), listed)
        )
        shown = [as_preview("problems from the test", first)]
        return shown + ([as_preview(f"{len(mistakes)} of {len(wrong):,} mistakes", mistakes)] if mistakes else [])


def answering(task: "Task", what: str) -> AnsweringTask:
    """The task as one of problems with answers; raises UserError where it is none: `what` needs one."""
    if isinstance(task, AnsweringTask):
        return task
    raise UserError(f"{what} needs a task of problems with answers, and this one is none: {task.describe()}")
