"""Which operand pairs are for training, which for validation, which for the test: never the same pair in two of them.

A pair's hash decides, and nothing else, so the splits do not depend on the order of draws or on the training seed.
- Few pairs: all are ranked by hash; the test split takes the lowest, validation the next, training the rest. Sizes are
  met exactly.
- Many pairs: a pair whose hash is 0 modulo 16 belongs to the test, 1 to validation, all others to training. Nothing is
  listed; the problems of a split are drawn, filtered and made distinct.
- Operands of other lengths than those of training (`LengthSplit`): a pair that training may hold stays out, a pair
  that the split above keeps stays in its part, and of pairs too long for training one half is for each part.
Pairs are ordered: 3 + 5 and 5 + 3 are two problems. A training set that is to be smaller is the first pairs of one
fixed order (of hashes, or of draws with the split's seed), so that a larger set holds a smaller one.
"""

from collections.abc import Callable

import numpy as np

from ..backend import RandomKey, integers, random_bits
from .arithmetic.digits import from_integers, significant_lengths
from .batch import Problems
from .sizes import HELD_OUT_SHARE

Draw = Callable[..., Problems]  # (key, count[, longest]) -> count random operand pairs, of at most `longest` digits

HELD_OUT = ("test", "validation")  # in the order in which they take the lowest hashes
PARTS = (*HELD_OUT, "train")
BLOCK = 1 << 16  # pairs drawn at a time to fill a split; fixed, so that a larger split begins with a smaller one
MOST_BLOCKS = 1000  # drawn before a split is given up as impossible to fill


def mix(words: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: each bit of the result depends on all of uint64 (n,).

    Steele, Lea, Flood 2014, https://doi.org/10.1145/2660193.2660195.
    """
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


def draw_until(draw: Callable[[int], tuple[np.ndarray, ...]], accepts: Callable[..., np.ndarray]) -> tuple:
    """The arrays (n, ...) of `draw(0)`, with rows that are not accepted, bool (n,), from `draw(1)`, and so on."""
    arrays = tuple(array.copy() for array in draw(0))
    again = np.flatnonzero(~accepts(*arrays))  # (m,)
    attempt = 0
    while len(again):
        attempt += 1
        for array, new in zip(arrays, draw(attempt), strict=True):
            array[again] = new[again]
        again = again[~accepts(*(array[again] for array in arrays))]
    return arrays


class TrainingList:
    """Training pairs few enough to list, drawn with replacement."""

    def __init__(self, pairs: Problems, by_length: int | None = None):
        """`by_length`: None to draw all pairs equally often, or the base of the digits, to draw lengths first."""
        self.pairs, self.by_length = pairs, by_length
        self.found: dict[int | None, tuple[np.ndarray, np.ndarray | None]] = {}  # an entry a stage of the curriculum

    def draw(self, key: RandomKey, count: int, longest: int | None = None) -> Problems:
        """`count` pairs, with operands of at most `longest` digits if given."""
        rows, cumulative = self.reachable(longest)
        if cumulative is None:
            rank = integers(key, count, 0, len(rows))  # (count,)
        else:
            rank = np.searchsorted(cumulative, random_bits(key, count) * 2.0**-32, side="right")
        return self.pairs[rows[rank]]

    def reachable(self, longest: int | None) -> tuple[np.ndarray, np.ndarray | None]:
        """The rows with operands of at most `longest` digits, int64 (m,), and, for draws by length, the probabilities
        of these rows, summed up: float64 (m,), last 1.

        Raises ValueError if there are none.
        """
        if longest not in self.found:
            rows = np.arange(len(self.pairs))
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


def all_pairs(digits: int, base: int, width: int) -> Problems:
    """All pairs of operands of at most so many digits, in order: uint8 (pairs, width) each."""
    numbers = base**digits
    first, second = np.divmod(np.arange(numbers * numbers, dtype=np.int64), numbers)  # (pairs,)
    return Problems(from_integers(first, width, base), from_integers(second, width, base))


class PairSplit:
    """What the splits share: the part that a pair belongs to, held out or not, is told by its hash.

    listed: the training pairs, where they are listed
    """

    listed: TrainingList | None = None

    def __init__(self, draw: Draw, sizes: dict[str, int], seed: int, pairs: Problems | None):
        """draw:  gives random pairs
        sizes: of "validation" and "test", and of "train" if that is not all that is left
        pairs: all that there are, where these are few
        """
        self.draw, self.sizes, self.seed, self.pairs = draw, sizes, seed, pairs
        if pairs is not None:
            self.pairs = pairs[np.argsort(hash_pairs(pairs, seed), kind="stable")]

    def parts(self, problems: Problems) -> np.ndarray:
        """The part of each pair, as its place in `PARTS`: int64 (n,)."""
        raise NotImplementedError

    def members(self, problems: Problems, part: str) -> np.ndarray:
        """Which of the pairs belong to "train", "validation" or "test": bool (n,)."""
        return self.parts(problems) == PARTS.index(part)

    def train(self, key: RandomKey, count: int, longest: int | None = None) -> Problems:
        """Training pairs; here there are none."""
        raise ValueError("a task for other operand lengths is for evaluation: train with the task that it was made of")

    def problems(self, part: str) -> Problems:
        """All pairs of a part that is listed, distinct: in the order of their hashes or of draws with the split's seed.

        Raises ValueError if there are too few.
        """
        size = self.sizes.get(part, 0)
        if self.pairs is not None:
            return self.pairs[self.members(self.pairs, part)][: size or None]
        kept: list[np.ndarray] = []
        rows = np.empty((0, 0), dtype=np.uint8)
        for attempt in range(MOST_BLOCKS):
            drawn = self.draw(RandomKey(self.seed, f"split.{part}", site=attempt), BLOCK)
            drawn = drawn[self.members(drawn, part)]
            kept.append(np.concatenate([drawn.first, drawn.second], axis=1))  # (m, 2D)
            if sum(map(len, kept)) < size:
                continue
            rows = first_of_each(np.concatenate(kept))  # (distinct, 2D)
            kept = [rows]
            if len(rows) >= size:
                return Problems(*np.split(rows[:size], 2, axis=1))
        raise ValueError(f"--{part}-size {size}: only {len(rows):,} distinct problems of this length were found")


class TrainingSplit(PairSplit):
    """The splits of a task that is trained: few pairs are ranked by their hashes, many go by the hash modulo 16."""

    def __init__(
        self, draw: Draw, sizes: dict[str, int], seed: int, pairs: Problems | None = None, by_length: int | None = None
    ):
        super().__init__(draw, sizes, seed, pairs)
        if self.pairs is not None:
            ends = np.cumsum([sizes[part] for part in HELD_OUT])
            self.next_hashes = hash_pairs(self.pairs[ends], seed)  # (2,), of the first pair behind each held-out part
        if pairs is not None or sizes.get("train"):
            self.listed = TrainingList(self.problems("train"), by_length)

    def parts(self, problems: Problems) -> np.ndarray:
        """By rank or modulo 16."""
        hashes = hash_pairs(problems, self.seed)  # (n,)
        if self.pairs is not None:
            return np.searchsorted(self.next_hashes, hashes, side="right")
        return np.minimum(hashes % np.uint64(HELD_OUT_SHARE), len(HELD_OUT))

    def train(self, key: RandomKey, count: int, longest: int | None = None) -> Problems:
        """`count` pairs with replacement, of at most `longest` digits if given: of the list, or any not held out."""
        if self.listed is not None:
            return self.listed.draw(key, count, longest)

        def draw(attempt: int) -> tuple[np.ndarray, np.ndarray]:
            drawn = self.draw(key.at(site=attempt), count, *(() if longest is None else (longest,)))
            return drawn.first, drawn.second

        return Problems(*draw_until(draw, lambda *operands: self.members(Problems(*operands), "train")))


class LengthSplit(PairSplit):
    """Held-out pairs of other operand lengths than those of training: none that `trained`, a split of operands of at
    most `width` digits, may train on. There is no training here; of few pairs, a part may hold less than its size."""

    def __init__(
        self, trained: PairSplit, width: int, draw: Draw, sizes: dict[str, int], pairs: Problems | None = None
    ):
        super().__init__(draw, sizes, trained.seed, pairs)
        self.trained, self.width = trained, width

    def parts(self, problems: Problems) -> np.ndarray:
        """Pairs that are short enough for training stay where they are; one half of the others is for each part."""
        short = Problems(problems.first[:, : self.width], problems.second[:, : self.width])
        half = hash_pairs(problems, self.seed) % np.uint64(len(HELD_OUT))  # (n,)
        return np.where(beyond(problems, self.width), half, self.trained.parts(short).astype(np.uint64))


def first_of_each(rows: np.ndarray) -> np.ndarray:
    """The distinct rows of (n, D) uint8, each where it first appears."""
    as_one = np.ascontiguousarray(rows).view(f"V{rows.shape[1]}").reshape(-1)  # (n,), a row as one value
    _, first = np.unique(as_one, return_index=True)
    return rows[np.sort(first)]
