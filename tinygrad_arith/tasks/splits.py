"""Which operand pairs are for training, which for validation, which for the test: never the same pair in two of them.

A pair's hash decides, and nothing else, so the splits do not depend on the order of draws or on the training seed.
- Few pairs (`ListedSplit`): all are ranked by hash; the test split takes the lowest, validation the next, training the
  rest. Sizes are met exactly.
- Many pairs (`HashedSplit`): a pair whose hash is 0 modulo 16 belongs to the test, 1 to validation, all others to
  training. Nothing is listed; the problems of a split are drawn, filtered and made distinct.
- Operands of other lengths than those of training (`LengthSplit`): a pair that training may hold stays out, a pair
  that the split above keeps stays in its part, and of pairs too long for training one half is for each part.
Pairs are ordered: 3 + 5 and 5 + 3 are two problems. A training set that is to be smaller is the first pairs of one
fixed order (of hashes, or of draws with the split's seed), so that a larger set holds a smaller one.
"""

from collections.abc import Callable

import numpy as np

from ..backend import RandomKey, random_bits
from .arithmetic.digits import from_integers, significant_lengths
from .batch import Problems
from .sizes import HELD_OUT_SHARE

Draw = Callable[..., Problems]  # (key, count[, longest]) -> count random operand pairs, of at most `longest` digits

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
        count, width = digits.shape
        padded = np.zeros((count, width + -width % 8), dtype=np.uint8)  # (n, 8 * words)
        padded[:, :width] = digits
        words = padded.view("<u8").astype(np.uint64)  # (n, words); little-endian everywhere, so one hash everywhere
        for i in range(words.shape[1]):
            state = mix((state ^ words[:, i]) + np.uint64(0x9E3779B97F4A7C15))
    return state


class TrainingList:
    """Training pairs few enough to list, drawn with replacement."""

    def __init__(self, pairs: Problems, by_length: int | None = None):
        """`by_length`: None to draw all pairs equally often, or the base of the digits, to draw lengths first."""
        self.pairs, self.by_length = pairs, by_length
        self.found: dict[int | None, tuple[np.ndarray, np.ndarray | None]] = {}  # an entry a stage of the curriculum

    def __len__(self) -> int:
        return len(self.pairs)

    def draw(self, key: RandomKey, count: int, longest: int | None = None) -> Problems:
        """`count` pairs, with operands of at most `longest` digits if given."""
        rows, cumulative = self.reachable(longest)
        bits = random_bits(key, count).astype(np.uint64)  # (count,)
        if cumulative is None:
            rank = (bits * np.uint64(len(rows))) >> np.uint64(32)  # as in backend.integers
        else:
            rank = np.searchsorted(cumulative, bits * 2.0**-32, side="right")
        return self.pairs[rows[rank]]

    def reachable(self, longest: int | None) -> tuple[np.ndarray, np.ndarray | None]:
        """The rows with operands of at most `longest` digits, int64 (m,), and, for draws by length, the probabilities
        of these rows, summed up: float64 (m,), last 1.

        Raises ValueError if there are none.
        """
        if longest not in self.found:
            rows = np.arange(len(self))
            if longest is not None:
                rows = rows[~beyond(self.pairs, longest)]
            if len(rows) == 0:
                raise ValueError(f"--curriculum: no training pair has operands of at most {longest} digits")
            weights = None if self.by_length is None else cumulative_weights(self.pairs[rows], self.by_length)
            self.found[longest] = (rows, weights)
        return self.found[longest]


def cumulative_weights(pairs: Problems, base: int) -> np.ndarray:
    """The probability that draws by length give each of `pairs`, summed up: float64 (n,), last 1."""
    width = pairs.first.shape[1]
    sizes = np.array([base] + [(base - 1) * base ** (length - 1) for length in range(2, width + 1)])  # (D,)
    counts = sizes[significant_lengths(pairs.first) - 1] * sizes[significant_lengths(pairs.second) - 1]
    cumulative = np.cumsum(1.0 / counts)  # (n,)
    return cumulative / cumulative[-1]


def beyond(problems: Problems, width: int) -> np.ndarray:
    """Which pairs have an operand of more than `width` digits: bool (n,)."""
    return np.any(problems.first[:, width:], axis=1) | np.any(problems.second[:, width:], axis=1)


def all_pairs(width: int, base: int) -> Problems:
    """All pairs of operands below base**width, in order."""
    numbers = base**width
    first, second = np.divmod(np.arange(numbers * numbers, dtype=np.int64), numbers)  # (pairs,)
    return Problems(from_integers(first, width, base), from_integers(second, width, base))


class ListedSplit:
    """The splits of all pairs of operands below base**width, ranked by hash."""

    def __init__(
        self, width: int, base: int, sizes: dict[str, int], seed: int, by_length: bool, most: int | None = None
    ):
        """`sizes` are those of "validation" and "test"; training takes the rest, or the first `most` of it.

        `by_length` makes training draw lengths first, then values.
        """
        self.pairs, self.seed = all_pairs(width, base), seed
        hashes = hash_pairs(self.pairs, seed)  # (pairs,)
        ranking = np.argsort(hashes, kind="stable")  # (pairs,)
        ends = np.cumsum([sizes[split] for split in HELD_OUT])
        *held_out, rest = np.split(ranking, ends)
        self.indices = dict(zip((*HELD_OUT, "train"), (*held_out, rest[:most]), strict=True))
        self.first_hashes = hashes[ranking[ends]]  # (2,), of the first pair behind each held-out split
        self.listed = TrainingList(self.pairs[self.indices["train"]], base if by_length else None)
        self.train_size = len(self.listed)

    def members(self, problems: Problems, split: str) -> np.ndarray:
        """Which pairs belong to "test" or "validation", or, for "train", to neither: bool (n,)."""
        place = np.searchsorted(self.first_hashes, hash_pairs(problems, self.seed), side="right")  # (n,)
        return place == (*HELD_OUT, "train").index(split)

    def train(self, key: RandomKey, count: int, longest: int | None = None) -> Problems:
        """`count` training pairs, drawn with replacement, of at most `longest` digits if given."""
        return self.listed.draw(key, count, longest)

    def held_out(self, split: str) -> Problems:
        """All problems of "validation" or "test", in the order of their hashes."""
        return self.pairs[self.indices[split]]


class HashedSplit:
    """The splits of pairs too many to list. `draw` gives random pairs of the distribution that is trained on."""

    def __init__(self, draw: Draw, sizes: dict[str, int], seed: int, most: int | None = None):
        """`sizes` are those of "validation" and "test"; `most` is the size of the training set, if it has one."""
        self.draw, self.sizes, self.seed = draw, sizes, seed
        self.train_size = most
        self.listed = None if most is None else TrainingList(self.distinct("train", most))

    def members(self, problems: Problems, split: str) -> np.ndarray:
        """Which of the pairs belong to the split "train", "validation" or "test": bool (n,)."""
        bucket = hash_pairs(problems, self.seed) % np.uint64(HELD_OUT_SHARE)  # (n,)
        if split == "train":
            return bucket >= len(HELD_OUT)
        return bucket == HELD_OUT.index(split)

    def train(self, key: RandomKey, count: int, longest: int | None = None) -> Problems:
        """`count` training pairs, of at most `longest` digits if given: rows that are held out are drawn again, the
        attempt's number in the key's site."""
        if self.listed is not None:
            return self.listed.draw(key, count, longest)
        limit = () if longest is None else (longest,)
        problems = self.draw(key, count, *limit)
        again = np.flatnonzero(~self.members(problems, "train"))  # (m,), the rows that are held out
        attempt = 0
        while len(again):
            attempt += 1
            drawn = self.draw(key.at(site=attempt), count, *limit)[again]
            problems.first[again], problems.second[again] = drawn.first, drawn.second
            again = again[~self.members(drawn, "train")]
        return problems

    def held_out(self, split: str) -> Problems:
        """All problems of "validation" or "test": distinct, in the order in which they were first drawn."""
        return self.distinct(split, self.sizes[split])

    def distinct(self, split: str, size: int) -> Problems:
        """The first `size` distinct pairs of a split that draws with the split's seed give."""
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


class LengthSplit(HashedSplit):
    """Held-out pairs of other operand lengths than those of training: none that `trained`, a split of operands of at
    most `width` digits, may train on. There is no training here."""

    def __init__(
        self,
        trained: ListedSplit | HashedSplit,
        width: int,
        draw: Draw,
        sizes: dict[str, int],
        listed: Problems | None = None,
    ):
        """`listed` are all pairs of these lengths, where they are few: a split may then hold less than its size."""
        super().__init__(draw, sizes, trained.seed)
        self.trained, self.width, self.pairs = trained, width, listed

    def members(self, problems: Problems, split: str) -> np.ndarray:
        """Which of the pairs belong to "validation" or "test": bool (n,)."""
        short = Problems(problems.first[:, : self.width], problems.second[:, : self.width])
        half = hash_pairs(problems, self.seed) % np.uint64(len(HELD_OUT))  # (n,)
        too_long = beyond(problems, self.width)  # (n,)
        return np.where(too_long, half == HELD_OUT.index(split), self.trained.members(short, split))

    def train(self, key: RandomKey, count: int, longest: int | None = None) -> Problems:
        """Raises ValueError: these lengths are for evaluation."""
        raise ValueError("a task for other operand lengths is for evaluation: train with the task that it was made of")

    def held_out(self, split: str) -> Problems:
        """All problems of "validation" or "test", in the order of their hashes or of their draws."""
        if self.pairs is None:
            return super().held_out(split)
        members = self.pairs[self.members(self.pairs, split)]
        ranking = np.argsort(hash_pairs(members, self.seed), kind="stable")
        return members[ranking[: self.sizes[split]]]


def where(chosen: np.ndarray, first: Problems, second: Problems) -> Problems:
    """The pairs of `first` where `chosen` (n,), else those of `second`."""
    return Problems(
        np.where(chosen[:, None], first.first, second.first), np.where(chosen[:, None], first.second, second.second)
    )


def first_of_each(rows: np.ndarray) -> np.ndarray:
    """The distinct rows of (n, D) uint8, each where it first appears."""
    as_one = np.ascontiguousarray(rows).view(f"V{rows.shape[1]}").reshape(-1)  # (n,), a row as one value
    _, first = np.unique(as_one, return_index=True)
    return rows[np.sort(first)]
