"""Which problems of two numbers the rows of a training step get: with replacement or by epochs, whole or as prefixes.

Every prefix of every problem is drawn as often as any other, as they come in an epoch; so a problem with a longer
answer is drawn more often than one with a shorter answer.

The carry mix makes problems in which carries, or borrows, travel far, which digits drawn at random seldom give.
"""

from typing import TYPE_CHECKING

import numpy as np

from ...backend import RandomKey, integers, uniform
from ..batch import Problems
from ..rows import epoch_indices, prefix_at
from ..splits import where
from .checks import ask
from .digits import significant_lengths

if TYPE_CHECKING:
    from .numbers import NumberTask

CHAIN_DIGIT = 0.4  # the share of digit pairs that the carry mix makes hand a carry on (Quirke and Barez 2023)


class TrainingDraws:
    """The draws of one task."""

    def __init__(self, task: "NumberTask"):
        self.task, self.config, self.split = task, task.config, task.split
        self.prefix_ends: np.ndarray | None = None  # see `prefix_at`; made when first asked for

    def rows(self, step: int, count: int, seed: int) -> tuple[Problems, np.ndarray | None]:
        """The problems of a training step's rows, and which token of its answer each row predicts: int64 (n,).

        None where a row is a whole sample.
        """
        if self.config.draws == "epochs":
            return self.of_epoch(RandomKey(seed, "train.order"), step, count)
        key = RandomKey(seed, "train", step=step)
        if self.config.rows == "prefix":
            return self.random_prefixes(key, count)
        return self.random_problems(key, count), None

    def of_epoch(self, key: RandomKey, step: int, count: int) -> tuple[Problems, np.ndarray | None]:
        """As `rows`, where each problem, or each prefix of each, comes once an epoch."""
        assert self.split.listed is not None  # the configuration saw to it
        pairs = self.split.listed.pairs
        if self.config.rows == "whole":
            return pairs[epoch_indices(key, step, count, len(pairs))], None
        if self.prefix_ends is None:
            self.prefix_ends = np.cumsum(self.task.answer_token_counts(pairs))  # (pairs,), in all prefixes, in a row
        chosen = epoch_indices(key, step, count, int(self.prefix_ends[-1]))  # (n,)
        rows, places = prefix_at(self.prefix_ends, chosen)
        return pairs[rows], places

    def random_prefixes(self, key: RandomKey, count: int) -> tuple[Problems, np.ndarray]:
        """As `rows`, for prefixes drawn with replacement.

        A problem and a place are drawn. A row whose answer ends before that place is drawn again, until none is left.
        """
        problems, places = self.random_places(key, count)
        again = np.flatnonzero(places >= self.task.answer_token_counts(problems))  # (m,)
        attempt = 0
        while len(again):
            attempt += 1
            drawn, new = self.random_places(key.at(purpose=f"train.again{attempt}"), count)
            problems.first[again], problems.second[again] = drawn.first[again], drawn.second[again]
            places[again] = new[again]
            again = again[places[again] >= self.task.answer_token_counts(problems[again])]
        return problems, places

    def random_places(self, key: RandomKey, count: int) -> tuple[Problems, np.ndarray]:
        """Training problems, and for each a place in the longest answer: int64 (n,)."""
        places = integers(key.at(purpose=f"{key.purpose}.prefix"), count, 0, self.task.answer_length)  # (n,)
        return self.random_problems(key, count), places

    def random_problems(self, key: RandomKey, count: int) -> Problems:
        """Training problems, drawn with replacement: as far as the curriculum is, with the carry mix."""
        longest = next((stage.digits for stage in self.config.stages if key.step < stage.until), None)
        problems = self.split.train(key, count, longest)
        share = self.carry_share(key.step)
        if share == 0:
            return problems
        chain_digits = ask(self.task, "chain_digits", problems.first).astype(np.uint8)  # (n, D)
        mixed = with_long_chains(problems, chain_digits, key.at(purpose=f"{key.purpose}.chain"))
        chosen = uniform(key.at(purpose=f"{key.purpose}.mix"), (count,)) < share  # (n,)
        return where(chosen & self.split.members(mixed, "train"), mixed, problems)

    def carry_share(self, step: int) -> float:
        """The share of problems with long carry chains in a training step."""
        steps = self.config.carry_mix_steps
        return self.config.carry_mix * (max(0.0, 1 - step / steps) if steps else 1.0)


def with_long_chains(problems: Problems, chain_digits: np.ndarray, key: RandomKey) -> Problems:
    """The problems, each second digit replaced, with probability 0.4, by the one of `chain_digits` uint8 (n, D).

    That is done as far as the shorter operand reaches, but not where the second operand would begin with a 0: it is
    as long as before.
    """
    first, second = problems.first, problems.second
    lengths = significant_lengths(first), significant_lengths(second)
    place = np.arange(1, first.shape[1] + 1)  # (D,)
    within = place <= np.minimum(*lengths)[:, None]  # (n, D)
    shortens = (place == lengths[1][:, None]) & (chain_digits == 0)  # (n, D)
    changed = (uniform(key, first.shape) < CHAIN_DIGIT) & within & ~shortens  # (n, D)
    return Problems(first, np.where(changed, chain_digits, second))
