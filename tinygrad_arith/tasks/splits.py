"""Which operand pairs are for training, which for validation, which for the test: never the same pair in two of them.

A pair's hash decides, and nothing else, so the splits do not depend on the order of draws or on the training seed.
- Few pairs (`ListedSplit`): all are ranked by hash; the test split takes the lowest, validation the next, training the
  rest. Sizes are met exactly.
- Many pairs (`HashedSplit`): a pair whose hash is 0 modulo 16 belongs to the test, 1 to validation, all others to
  training. Nothing is listed; the problems of a split are drawn, filtered and made distinct.
Pairs are ordered: 3 + 5 and 5 + 3 are two problems.
"""

from collections.abc import Callable

import numpy as np

from ..backend import RandomKey, random_bits
from .batch import Problems
from .config import HELD_OUT_SHARE
from .digits import from_integers, significant_lengths

Draw = Callable[[RandomKey, int], Problems]  # (key, count) -> count random operand pairs

HELD_OUT = ("test", "validation")  # in the order in which they take the lowest hashes
BLOCK = 1 << 16  # pairs drawn at a time to fill a split; fixed, so that a larger split begins with a smaller one
MOST_BLOCKS = 1000  # drawn before a split is given up as impossible to fill


def mix(words: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): each bit of the result depends on all of uint64 (n,)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def hash_pairs(problems: Problems, seed: int) -> np.ndarray:
    """A hash of each operand pair, uint64 (n,): the digits, eight to a 64-bit word, mixed in one word at a time."""
    state = mix(np.full(len(problems), seed, dtype=np.uint64))  # (n,)
    for digits in (problems.first, problems.second):
        missing = -digits.shape[1] % 8
        padded = np.ascontiguousarray(np.pad(digits, ((0, 0), (0, missing))))  # (n, 8 * words)
        words = padded.view("<u8").astype(np.uint64)  # (n, words); little-endian everywhere, so one hash everywhere
        for i in range(words.shape[1]):
            state = mix((state ^ words[:, i]) + np.uint64(0x9E3779B97F4A7C15))
    return state


class ListedSplit:
    """The splits of all pairs of operands below base**width, ranked by hash."""

    def __init__(self, width: int, base: int, sizes: dict[str, int], seed: int, by_length: bool):
        """`sizes` are those of "validation" and "test"; `by_length` makes training draw lengths first, then values."""
        numbers = base**width
        first, second = np.divmod(np.arange(numbers * numbers, dtype=np.int64), numbers)  # (pairs,)
        pairs = Problems(from_integers(first, width, base), from_integers(second, width, base))
        ranking = np.argsort(hash_pairs(pairs, seed), kind="stable")  # (pairs,)
        ends = np.cumsum([sizes[split] for split in HELD_OUT])
        held_out = np.split(ranking, ends)
        self.indices = dict(zip((*HELD_OUT, "train"), held_out, strict=True))
        self.pairs = pairs
        self.train_size = len(self.indices["train"])
        self.cumulative = self.cumulative_weights(width, base) if by_length else None

    def cumulative_weights(self, width: int, base: int) -> np.ndarray:
        """The probability that draws by length give each training pair, summed up: float64 (train_size,), last 1."""
        sizes = np.array([base] + [(base - 1) * base ** (length - 1) for length in range(2, width + 1)])  # (D,)
        train = self.pairs[self.indices["train"]]
        counts = sizes[significant_lengths(train.first) - 1] * sizes[significant_lengths(train.second) - 1]
        cumulative = np.cumsum(1.0 / counts)  # (train_size,)
        return cumulative / cumulative[-1]

    def train(self, key: RandomKey, count: int) -> Problems:
        """`count` training pairs, drawn with replacement."""
        bits = random_bits(key, count).astype(np.uint64)  # (count,)
        if self.cumulative is None:
            rank = (bits * np.uint64(self.train_size)) >> np.uint64(32)  # as in backend.integers
        else:
            rank = np.searchsorted(self.cumulative, bits * 2.0**-32, side="right")
        return self.pairs[self.indices["train"][rank]]

    def held_out(self, split: str) -> Problems:
        """All problems of "validation" or "test", in the order of their hashes."""
        return self.pairs[self.indices[split]]


class HashedSplit:
    """The splits of pairs too many to list. `draw` gives random pairs of the distribution that is trained on."""

    train_size = None

    def __init__(self, draw: Draw, sizes: dict[str, int], seed: int):
        self.draw, self.sizes, self.seed = draw, sizes, seed

    def members(self, problems: Problems, split: str) -> np.ndarray:
        """Which of the pairs belong to the split "train", "validation" or "test": bool (n,)."""
        bucket = hash_pairs(problems, self.seed) % np.uint64(HELD_OUT_SHARE)  # (n,)
        if split == "train":
            return bucket >= len(HELD_OUT)
        return bucket == HELD_OUT.index(split)

    def train(self, key: RandomKey, count: int) -> Problems:
        """`count` training pairs: rows that are held out are drawn again, the attempt's number in the key's site."""
        problems = self.draw(key, count)
        attempt = 0
        while not (kept := self.members(problems, "train")).all():
            attempt += 1
            again = self.draw(key.at(site=attempt), count)
            problems = Problems(
                np.where(kept[:, None], problems.first, again.first),
                np.where(kept[:, None], problems.second, again.second),
            )
        return problems

    def held_out(self, split: str) -> Problems:
        """All problems of "validation" or "test": distinct, in the order in which they were first drawn."""
        size = self.sizes[split]
        kept: list[np.ndarray] = []
        rows = np.empty((0, 0), dtype=np.uint8)
        for attempt in range(MOST_BLOCKS):
            drawn = self.draw(RandomKey(self.seed, f"split.{split}", site=attempt), BLOCK)
            drawn = drawn[self.members(drawn, split)]
            kept.append(np.concatenate([drawn.first, drawn.second], axis=1))  # (m, 2D)
            if sum(map(len, kept)) < size:
                continue
            rows = first_of_each(np.concatenate(kept))  # (distinct, 2D)
            kept = [rows]
            if len(rows) >= size:
                first, second = np.split(rows[:size], 2, axis=1)
                return Problems(first, second)
        raise ValueError(f"--{split}-size {size}: only {len(rows):,} distinct problems of this length were found")


def first_of_each(rows: np.ndarray) -> np.ndarray:
    """The distinct rows of (n, D) uint8, each where it first appears."""
    as_one = np.ascontiguousarray(rows).view(f"V{rows.shape[1]}").reshape(-1)  # (n,), a row as one value
    _, first = np.unique(as_one, return_index=True)
    return rows[np.sort(first)]
