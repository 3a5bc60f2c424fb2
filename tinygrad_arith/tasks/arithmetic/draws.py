"""Which problems of two numbers the rows of a training step get where they are drawn with replacement.

Every prefix of every problem is drawn as often as any other, as they come in an epoch; so a problem with a longer
answer is drawn more often than one with a shorter answer.

The carry mix makes problems in which carries, or borrows, travel far, which digits drawn at random seldom give.
"""

from typing import TYPE_CHECKING

import numpy as np

from ...backend import RandomKey, integers, uniform
from ..batch import Problems
from ..splits import draw_until
from .checks import ask
from .digits import significant_lengths

if TYPE_CHECKING:
    from .numbers import NumberTask

# The share of digit pairs that the carry mix makes hand a carry on (Quirke and Barez 2023, arXiv 2310.13121).
CHAIN_DIGIT = 0.4


def random_prefixes(task: "NumberTask", key: RandomKey, count: int) -> tuple[Problems, np.ndarray]:
    """The problems of a training step's rows, and which token of its answer each row predicts: int64 (n,).

    A problem and a place in the longest answer are drawn, and again where the problem's answer ends before that place.
    """

    def draw(attempt: int) -> tuple[np.ndarray, ...]:
        at = key.at(purpose=f"train.again{attempt}") if attempt else key
        places = integers(at.at(purpose=f"{at.purpose}.prefix"), count, 0, task.answer_length)  # (n,)
        problems = random_problems(task, at, count)
        return problems.first, problems.second, places

    def inside(first: np.ndarray, second: np.ndarray, places: np.ndarray) -> np.ndarray:
        return places < task.answer_token_counts(Problems(first, second))  # (n,)

    first, second, places = draw_until(draw, inside)
    return Problems(first, second), places


def random_problems(task: "NumberTask", key: RandomKey, count: int) -> Problems:
    """Training problems: as far as the curriculum is, with the carry mix."""
    config = task.config
    longest = next((stage.digits for stage in config.stages if key.step < stage.until), None)
    problems = task.split.train(key, count, longest)
    share = config.carry_mix * (max(0.0, 1 - key.step / config.carry_mix_steps) if config.carry_mix_steps else 1.0)
    if share == 0:
        return problems
    chain_digits = ask(task, "chain_digits", problems.first).astype(np.uint8)  # (n, D)
    mixed = with_long_chains(problems, chain_digits, key.at(purpose=f"{key.purpose}.chain"))
    chosen = uniform(key.at(purpose=f"{key.purpose}.mix"), (count,)) < share  # (n,)
    chosen &= task.split.members(mixed, "train")
    return Problems(problems.first, np.where(chosen[:, None], mixed.second, problems.second))


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
