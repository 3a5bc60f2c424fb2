"""Tasks of problems with answers: each problem is written as `prompt=answer`, and scores by exact match.

How a problem is written, and which are trained on, says a subclass: `NumberTask`, `EnumeratedTask`.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd import no_grad
from ..backend import RandomKey, integers
from ..nn import Module
from ..objectives import NEXT_TOKEN, Batch, Objective
from ..options.errors import UserError
from . import scoring
from .answers import as_preview, sample_answer
from .batch import Problem
from .metrics import EXACT_MATCH, Breakdown, Goal, Groups, Metrics, Preview
from .options import ProblemOptions
from .reading import Reading
from .rows import (
    epoch_indices,
    next_token_targets,
    pack,
    packed_left,
    prefix_at,
    prefix_rows,
)
from .sizes import at_least, settled
from .splits import HELD_OUT
from .vocabulary import NO_TOKEN, Vocabulary

if TYPE_CHECKING:
    from .task import Task

BATCH = 500  # problems per forward pass
SHOWN = 5  # problems, and mistakes, of a preview


@dataclass(frozen=True, kw_only=True, repr=False)
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

    Problems are whatever a subclass calls so: see `ProblemArrays` for what can be done with them. A subclass that lists
    those of training says which they are, `listed`, and has nothing to say about which are drawn.

    A row of a batch is a whole sample with all its next tokens (`rows` = "whole"), or one prefix of a sample with the
    one token that follows it (`rows` = "prefix").
    """

    objective: Objective = NEXT_TOKEN
    goal: Goal = EXACT_MATCH
    pure_batches = True
    options: type[ProblemOptions] = ProblemOptions
    size_flag = "task"  # the option that decides how many problems there are
    train_share = 0.0  # of the problems, trained on where no size is given; 0: all that are left
    lists_all = True  # whether all problems are listed, however many there are
    problems_are = "problems"
    trained_length: int | None = None  # of the longest operands in training, where the problems have a length

    def __init__(self, config: Any, vocabulary: Vocabulary, prompt_length: int, answer_length: int):
        """Takes options whose sizes are settled.

        prompt_length: tokens of the longest prompt, its `=` not counted
        answer_length: tokens of the longest answer, its end mark included

        Raises ValueError, one sentence that names the flag, where a sample has no room.
        """
        self.config, self.vocabulary, self.rows, self.answer_length = config, vocabulary, config.rows, answer_length
        self.prompt_width = at_least("prompt-width", config.prompt_width, prompt_length, "before the = of a prompt")
        # In a row that is a prefix, the last token of the answer is never read.
        needed = self.prompt_width + answer_length + (config.rows == "whole")
        self.context = at_least("context", config.context, needed, "for the longest sample")
        self.longest_context = self.context
        self.position_count = self.context + config.position_offset
        self.ragged = vocabulary.padding != NO_TOKEN  # whether whole rows have padding
        self.kept: dict[str, Any] = {}  # held-out problems by split; found when first asked for

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.describe()})"

    # What a subclass says

    listed: Any  # all training problems; None where there are too many to list

    @classmethod
    def problem_count(cls, options: Any) -> int:
        """How many distinct problems there are with these options, of training and held out together."""
        raise NotImplementedError

    def held_out(self, split: str) -> Any:
        """All problems that are kept for "validation" or "test" alone."""
        raise NotImplementedError

    def prompts(self, problems: Any) -> np.ndarray:
        """What stands before the `=`, as token ids, int64 (n, P), padding anywhere between them."""
        raise NotImplementedError

    def answers(self, problems: Any) -> np.ndarray:
        """The right answers as token ids, int64 (n, answer_length), padding behind their end mark."""
        raise NotImplementedError

    def groups(self, problems: Any) -> dict[str, np.ndarray]:
        """By what an evaluation is broken down: int64 (n,) by title, such as "operand length"."""
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

    typed_in_decimal = False  # whether a problem may be typed in decimal where the task writes it otherwise

    def read(self, text: str, decimal: bool = False) -> Reading:
        """The one problem that a person typed, and how it was read; ValueError with one sentence if it is none.

        decimal: whether numbers are decimal even where they could be read as the task writes them
        """
        return Reading(self.parse(text))

    def answer_value(self, answer: str) -> int | None:
        """The value of what a model has answered; None if that is no number, or if answers are none in this task."""
        return None

    def position_ids(self, problems: Any) -> np.ndarray | None:
        """The position ids of prompts, `=` and answers, int64 (n, P + 1 + answer_length); None for 0, 1, 2, ..."""
        return None

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

    # Which problems

    @property
    def train_size(self) -> int | None:
        """See `Task.train_size`."""
        return None if self.listed is None else len(self.listed)

    def all_held_out(self, split: str) -> Any:
        """All problems of "validation" or "test"; found once."""
        if split == "validation" and self.config.validation == "test":
            return self.all_held_out("test")[: self.config.validation_size]
        if split not in self.kept:
            self.kept[split] = self.held_out(split)
        return self.kept[split]

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

    def train_rows(self, step: int, size: int, seed: int) -> tuple[Any, np.ndarray | None]:
        """The problem of each row of a training batch, and which token of its answer the row predicts: int64 (n,).

        None where a row is a whole sample.
        """
        prefixes = self.rows == "prefix"
        count = int(self.prefix_ends[-1]) if prefixes else len(self.listed)
        if self.config.draws == "epochs":
            chosen = epoch_indices(RandomKey(seed, "train.order"), step, size, count)  # (n,)
        else:
            chosen = integers(RandomKey(seed, "train", step=step), size, 0, count)  # (n,)
        chosen, places = prefix_at(self.prefix_ends, chosen) if prefixes else (chosen, None)
        return self.listed[chosen], places

    @cached_property
    def prefix_ends(self) -> np.ndarray:
        """How many prefixes the training problems have, up to and including each: int64 (train_size,)."""
        return np.cumsum(self.answer_token_counts(self.listed))

    def train_problems(self, step: int, size: int, seed: int) -> Any:
        """The problems of the rows of a training step's batch."""
        return self.train_rows(step, size, seed)[0]

    # Problems as rows

    def samples(self, problems: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Whole samples as token ids, and their position ids unless these are 0, 1, 2, ...: int64 (n, W) each.

        W is T, or more where the last token is never read. Padding is behind a sample or, where a row is a prefix, also
        before the `=`, which then stands at the same place in every row.
        """
        padding, ids = self.vocabulary.padding, self.position_ids(problems)
        prompts, answers = self.prompts(problems), self.answers(problems)
        if self.rows == "prefix":
            prompts = packed_left(prompts, padding, self.prompt_width)
        equals = np.full((len(prompts), 1), self.vocabulary.ids["="])  # (n, 1)
        tokens = np.concatenate([prompts, equals, answers], axis=1)  # (n, P + 1 + answer_length)
        written = (tokens != padding) | (self.rows == "prefix")
        width = max(self.context, self.prompt_width + 1 + self.answer_length)
        return pack(tokens, written, width, padding), None if ids is None else pack(ids, written, width, fill=0)

    def train_batch(self, step: int, size: int, seed: int, rows: slice = slice(None)) -> Batch:
        """The batch of a training step, or some of its `size` rows: a pure function of its arguments.

        Targets have the shape of the tokens or, where a row is a prefix, (n, 1).
        """
        problems, places = self.train_rows(step, size, seed)
        if places is not None:
            return self.prefix_batch(problems[rows], places[rows])
        batch, largest = self.batch(problems[rows]), self.config.position_offset
        if largest == 0:
            return batch
        offsets = integers(RandomKey(seed, "train.offset", step=step), (size, 1), 0, largest + 1)[rows]  # (n, 1)
        if batch.positions is None:
            return batch._replace(positions=np.arange(self.context) + offsets)  # (n, T)
        # An id of 0, which padding has, and in "abacus" all that is no digit, stays.
        return batch._replace(positions=batch.positions + np.where(batch.positions > 0, offsets, 0))  # (n, T)

    def batch(self, problems: Any) -> Batch:
        """The problems with their right answers as a batch (n, T), with a key mask where that hides padding.

        Where a row is a prefix: (n * answer_length, T), all prefixes of the first problem, then those of the next;
        targets (n * answer_length, 1) are -1 where the answer has ended.
        """
        if self.rows == "prefix":
            rows, places = np.divmod(np.arange(len(problems) * self.answer_length), self.answer_length)
            return self.prefix_batch(problems[rows], places)
        samples, ids = self.samples(problems)  # (n, W)
        tokens, targets = samples[:, : self.context], self.targets(samples)[:, : self.context]  # (n, T)
        masked = self.ragged and self.config.loss != "padding-too"
        return Batch(tokens, targets, positions=ids, key_mask=tokens != self.vocabulary.padding if masked else None)

    def prefix_batch(self, problems: Any, places: np.ndarray) -> Batch:
        """A prefix of each sample, targets (n, 1): the token at a place (n,) of the answer, -1 behind its end."""
        padding = self.vocabulary.padding
        tokens, targets = prefix_rows(self.samples(problems)[0], self.prompt_width + 1, places, padding)
        tokens = tokens[:, : self.context]  # (n, T); behind it is padding
        return Batch(tokens, targets, key_mask=tokens != padding)

    def targets(self, tokens: np.ndarray) -> np.ndarray:
        """The token to be predicted at each position of samples (n, W), -1 where that bears no loss: int64 (n, W)."""
        padding = self.vocabulary.padding
        if self.config.loss == "padding-too":
            return next_token_targets(tokens, np.ones_like(tokens, dtype=bool), behind=padding)
        counted = tokens != padding  # (n, W)
        if self.config.loss == "answer":
            counted &= np.arange(tokens.shape[1]) > self.equals_place(tokens)[:, None]
        return next_token_targets(tokens, counted)

    def prompt(self, problem: Any) -> Batch:
        """One problem up to and including its `=`, for generation: tokens (1, Tp), targets all -1.

        positions: None, or (1, Tp + answer_length): those of the answer to come too. key_mask: likewise
        """
        (samples, ids), known = self.samples(problem), np.ones((1, self.answer_length), dtype=bool)
        width = int(self.equals_place(samples)[0]) + 1
        tokens, positions, key_mask = samples[:, :width], None, None  # (1, Tp)
        if ids is not None:
            answer = self.position_ids(problem)[:, -self.answer_length :]  # type: ignore[index]
            positions = np.concatenate([ids[:, :width], answer], axis=1)  # (1, Tp + answer_length)
        if self.rows == "prefix":
            key_mask = np.concatenate([tokens != self.vocabulary.padding, known], axis=1)  # (1, Tp + answer_length)
        return Batch(tokens, np.full_like(tokens, -1), positions=positions, key_mask=key_mask)

    def text(self, problems: Any) -> list[Problem]:
        """The problems as people and prompts write them, without padding."""
        samples, separator = self.samples(problems)[0], self.vocabulary.separator
        starts = self.equals_place(samples) + 1
        return [
            Problem(self.written(row[:start]) + separator, self.written(row[start:]))
            for row, start in zip(samples, starts, strict=True)
        ]

    def written(self, ids: np.ndarray) -> str:
        """Token ids (n,) as text, without padding."""
        return self.vocabulary.decode(ids[ids != self.vocabulary.padding])

    def equals_place(self, tokens: np.ndarray) -> np.ndarray:
        """Where the `=` stands in each row of `tokens` (n, W): int64 (n,)."""
        return (tokens == self.vocabulary.ids["="]).argmax(axis=1)

    # Answers

    def answer_token_counts(self, problems: Any) -> np.ndarray:
        """How many tokens each answer has, its end mark included: int64 (n,)."""
        return np.count_nonzero(self.answers(problems) != self.vocabulary.padding, axis=1)

    def answer_predictions(self, logits: Any, batch: Batch) -> np.ndarray:
        """What a model answers, from its logits on `batch(problems)`: token ids, int64 (n, answer_length).

        logits (n, T, V), or (n * answer_length, 1, V) where a row is a prefix.
        """
        if self.rows == "prefix":
            return scoring.most_likely(logits).reshape(-1, self.answer_length)
        return scoring.answer_predictions(logits, batch.tokens, self.vocabulary.ids["="], self.answer_length)

    def score(self, predictions: np.ndarray, problems: Any) -> np.ndarray:
        """Which answers (n, answer_length) are right in full: bool (n,)."""
        return scoring.exact_match(predictions, self.answers(problems), self.vocabulary.padding)

    # How a model does

    settled = classmethod(settled)  # see `Task.settled`

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
        enough = not (wrong[:SHOWN] >= SHOWN).any()  # mistakes among the first problems
        listed = wrong[wrong >= SHOWN][: 0 if enough else SHOWN]
        first, mistakes = (
            [sample_answer(model, self, metrics.problems[i : i + 1]) for i in chosen]
            for chosen in (range(min(SHOWN, metrics.count)), listed)
        )
        shown = [as_preview("problems from the test", first)]
        return shown + ([as_preview(f"{len(mistakes)} more of {len(wrong):,} mistakes", mistakes)] if mistakes else [])


def answering(task: "Task", what: str) -> AnsweringTask:
    """The task as one of problems with answers; raises UserError where it is none: `what` needs one."""
    if isinstance(task, AnsweringTask):
        return task
    raise UserError(f"{what} needs a task of problems with answers, and this one is none: {task.describe()}")
