"""Samplers: what is done with the logits before a token is drawn from them.

A sampler is a function of logits (B, V) in float64 and of the tokens so far, and returns logits (B, V); -infinity rules
a token out. `generate` calls those of a list one after the other. Any function of this form will do. Those of this file
are also kernels (kernels/sampling.cu), which decide alike, token by token:

- The weight of a token is a whole number of 2^-40 parts of the likeliest one's. Sums of whole numbers do not depend on
  their order, so the rounding of a sum never decides who is kept.
- Of equally likely tokens the one with the lower id counts as the likelier.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..backend import to_numpy

LIKELIEST = 2.0**40  # the weight of the likeliest token
SORTED_WHOLE, SORTED_FIRST = 4096, 1024  # tokens: of larger vocabularies only the first ones are sorted, if they do
LARGEST_PENALTY = 1e100  # times the most tokens there are it is finite still: infinite logits less that are not NaN
PENALTIES = "from -1e100 to 1e100"
DISTANCE_STEPS = 2.0**32  # to one nat: how finely the distances of typical sampling are told apart


class Counts(NamedTuple):
    """How often each token stands in the prompt, and how often it has been written: int32 (B, V) each."""

    prompt: np.ndarray
    written: np.ndarray


Sampler = Callable[[np.ndarray, Counts], np.ndarray]  # (B, V) float64 -> (B, V)


@dataclass(frozen=True)
class BuiltInSampler:
    """What the samplers of this file share. Each has one number, which `check` looks at.

    kernel:       the name of its kernel in kernels/sampling.cu
    needs_counts: whether it looks at the tokens so far
    is_for_draws: whether it says what is drawn, and so needs a key
    """

    kernel: ClassVar[str] = ""
    needs_counts: ClassVar[bool] = False
    is_for_draws: ClassVar[bool] = True

    def __call__(self, logits: np.ndarray, counts: Counts) -> np.ndarray:  # (B, V) -> (B, V)
        raise NotImplementedError

    @property
    def number(self) -> float:
        """What the kernel gets."""
        raise NotImplementedError


@dataclass(frozen=True)
class RepetitionPenalty(BuiltInSampler):
    """Logits of tokens of the prompt or the text so far: divided by `penalty` where positive, else multiplied.

    Above 1 what was there becomes less likely. Keskar et al.: "CTRL", 2019, arXiv 1909.05858, section 4.1;
    for negative logits as everybody does it since: divided, these would become likelier.
    """

    penalty: float
    kernel: ClassVar[str] = "repetition_penalty"
    needs_counts: ClassVar[bool] = True
    is_for_draws: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check("a repetition penalty", self.penalty, "above 0, and finite", finite(self.penalty) > 0.0)

    def __call__(self, logits: np.ndarray, counts: Counts) -> np.ndarray:
        with np.errstate(over="ignore"):  # what is too large is infinite
            penalised = np.where(logits > 0.0, logits / self.penalty, logits * self.penalty)  # (B, V)
        return np.where((counts.prompt > 0) | (counts.written > 0), penalised, logits)

    @property
    def number(self) -> float:
        return float(self.penalty)


@dataclass(frozen=True)
class PresencePenalty(BuiltInSampler):
    """Subtracts `penalty` from the logits of tokens that have been written, however often; the prompt does not count.

    From the parameters of OpenAI's interface, as is the frequency penalty.
    """

    penalty: float
    kernel: ClassVar[str] = "presence_penalty"
    needs_counts: ClassVar[bool] = True
    is_for_draws: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check("a presence penalty", self.penalty, PENALTIES, abs(finite(self.penalty)) <= LARGEST_PENALTY)

    def __call__(self, logits: np.ndarray, counts: Counts) -> np.ndarray:
        return np.where(counts.written > 0, logits - self.penalty, logits)

    @property
    def number(self) -> float:
        return float(self.penalty)


@dataclass(frozen=True)
class FrequencyPenalty(BuiltInSampler):
    """Subtracts from each logit `penalty` times how often its token has been written; the prompt does not count."""

    penalty: float
    kernel: ClassVar[str] = "frequency_penalty"
    needs_counts: ClassVar[bool] = True
    is_for_draws: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check("a frequency penalty", self.penalty, PENALTIES, abs(finite(self.penalty)) <= LARGEST_PENALTY)

    def __call__(self, logits: np.ndarray, counts: Counts) -> np.ndarray:
        return logits - self.penalty * counts.written

    @property
    def number(self) -> float:
        return float(self.penalty)


@dataclass(frozen=True)
class TopK(BuiltInSampler):
    """Keeps the `k` likeliest tokens."""

    k: int
    kernel: ClassVar[str] = "top_k"

    def __post_init__(self) -> None:
        whole = isinstance(self.k, int | np.integer) and not isinstance(self.k, bool)
        if not whole or self.k < 1:
            raise ValueError(
                f"generate: top_k must be a whole number from 1 on, or None for all tokens, not {self.k!r}"
            )

    def __call__(self, logits: np.ndarray, counts: Counts) -> np.ndarray:
        if self.k >= logits.shape[-1]:
            return logits
        ones = np.ones(logits.shape, np.int64)  # (B, V)
        return keep_first(logits, -logits, ones, np.full((len(logits), 1), float(self.k)))

    @property
    def number(self) -> float:
        return float(min(self.k, 2**53))  # there is no larger vocabulary


@dataclass(frozen=True)
class TopP(BuiltInSampler):
    """Keeps the likeliest tokens, as few as are needed for their probabilities to sum up to at least `p`.

    Holtzman et al.: "The Curious Case of Neural Text Degeneration", 2020, arXiv 1904.09751, section 3.1
    (nucleus sampling).
    """

    p: float
    kernel: ClassVar[str] = "top_p"

    def __post_init__(self) -> None:
        check("top_p", self.p, "above 0, and at most 1", 0.0 < finite(self.p) <= 1.0)

    def __call__(self, logits: np.ndarray, counts: Counts) -> np.ndarray:
        if self.p == 1.0:
            return logits
        weights = weights_of(logits)  # (B, V)
        return keep_first(logits, -logits, weights, self.p * weights.sum(axis=-1, keepdims=True))

    @property
    def number(self) -> float:
        return float(self.p)


@dataclass(frozen=True)
class Typical(BuiltInSampler):
    """Keeps the tokens whose surprise, -log p, is nearest to the one expected, as many as make `p` together.

    The likeliest token may go. Meister et al.: "Locally Typical Sampling", 2023, arXiv 2202.00666, section 4. Both the
    surprise and the expected one, the entropy, hold the logarithm of the softmax's total; in their difference it
    cancels.
    """

    p: float
    kernel: ClassVar[str] = "typical"

    def __post_init__(self) -> None:
        check("typical", self.p, "above 0, and at most 1", 0.0 < finite(self.p) <= 1.0)

    def __call__(self, logits: np.ndarray, counts: Counts) -> np.ndarray:
        if self.p == 1.0:
            return logits
        weights, below = weights_of(logits), distances_from_largest(logits)  # (B, V) each
        total = weights.sum(axis=-1, keepdims=True)  # (B, 1)
        finite_below = np.where(weights > 0, below, 0.0)  # (B, V)
        expected = (weights * finite_below).sum(axis=-1, keepdims=True) / total  # (B, 1)
        # In steps: rounding must not decide between distances that are equal.
        with np.errstate(over="ignore"):
            distances = np.rint(np.abs(below - expected) * DISTANCE_STEPS)  # (B, V)
        return keep_first(logits, distances, weights, self.p * total)

    @property
    def number(self) -> float:
        return float(self.p)


@dataclass(frozen=True)
class MinP(BuiltInSampler):
    """Keeps the tokens that are at least `p` times as likely as the likeliest one.

    Nguyen et al.: "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs", 2024,
    arXiv 2407.01082, section 3.
    """

    p: float
    kernel: ClassVar[str] = "min_p"

    def __post_init__(self) -> None:
        check("min_p", self.p, "from 0 to 1", 0.0 <= finite(self.p) <= 1.0)

    def __call__(self, logits: np.ndarray, counts: Counts) -> np.ndarray:
        return np.where(distances_from_largest(logits) >= self.number, logits, -np.inf)  # (B, V)

    @property
    def number(self) -> float:
        """The least distance from the likeliest logit."""
        return math.log(self.p) if self.p > 0.0 else -math.inf


@dataclass(frozen=True)
class Temperature(BuiltInSampler):
    """Divides the logits by `temperature`: 0 leaves the likeliest token alone, infinity makes all as likely."""

    temperature: float
    kernel: ClassVar[str] = "temperature"

    def __post_init__(self) -> None:
        if not as_float(self.temperature) >= 0.0:  # NaN is neither
            raise ValueError(f"generate: the temperature must be 0 or above, not {self.temperature}")

    def __call__(self, logits: np.ndarray, counts: Counts) -> np.ndarray:
        if self.temperature == 0.0:
            only = np.arange(logits.shape[-1]) == logits.argmax(axis=-1)[:, None]  # (B, V)
            return np.where(only, 0.0, -np.inf)
        below = distances_from_largest(logits)  # (B, V)
        with np.errstate(over="ignore", invalid="ignore"):  # a quotient too large is -inf: that token is not drawn
            return np.where(np.isinf(below), below, below / self.temperature)

    @property
    def number(self) -> float:
        return float(self.temperature)


def usual_samplers(
    *,
    repetition_penalty: float = 1.0,
    presence_penalty: float = 0.0,
    frequency_penalty: float = 0.0,
    top_k: int | None = None,
    typical: float = 1.0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    temperature: float = 1.0,
) -> tuple[Sampler, ...]:
    """Samplers in the usual order, which is that of the arguments; those that would change nothing are left out.

    Penalties come first, since they look at the model's own logits, and the temperature last: so which tokens are kept
    does not depend on it. Raises ValueError for a number that means nothing.
    """
    written = [
        (RepetitionPenalty(repetition_penalty), repetition_penalty != 1.0),
        (PresencePenalty(presence_penalty), presence_penalty != 0.0),
        (FrequencyPenalty(frequency_penalty), frequency_penalty != 0.0),
        (TopK(1 if top_k is None else top_k), top_k is not None),
        (Typical(typical), typical != 1.0),
        (TopP(top_p), top_p != 1.0),
        (MinP(min_p), min_p != 0.0),
        (Temperature(temperature), temperature != 1.0),
    ]
    return tuple(sampler for sampler, changes in written if changes)


def keep_first(logits: np.ndarray, order: np.ndarray, weights: np.ndarray, target: Any) -> np.ndarray:
    """Keeps tokens, of a small `order` first, until their weights sum up to the target: (B, V) all, target (B, 1).

    A token stays if the weights of those before it are below the target; so the first one always does.
    """
    if logits.shape[-1] > SORTED_WHOLE:
        kept = np.stack([first_of_row(*row) for row in zip(order, weights, target, strict=True)])  # (B, V)
        return np.where(kept, logits, -np.inf)
    ranked = np.argsort(order, axis=-1, kind="stable")  # (B, V)
    in_order = np.take_along_axis(weights, ranked, axis=-1)  # (B, V)
    before = in_order.cumsum(axis=-1) - in_order  # (B, V)
    kept = np.zeros(logits.shape, bool)  # (B, V)
    np.put_along_axis(kept, ranked, before < target, axis=-1)
    return np.where(kept, logits, -np.inf)


def first_of_row(order: np.ndarray, weights: np.ndarray, target: np.ndarray) -> np.ndarray:  # (V,), (V,), (1,) -> (V,)
    """Which tokens of a row are kept; sorts only the first ones, where these reach the target."""
    bound = np.partition(order, SORTED_FIRST)[SORTED_FIRST]  # ()
    near = np.flatnonzero(order < bound)  # (n,), at most SORTED_FIRST
    if weights[near].sum() < target:
        near = np.arange(len(order))  # (V,)
    ranked = near[np.argsort(order[near], kind="stable")]  # (n,)
    before = weights[ranked].cumsum() - weights[ranked]  # (n,)
    kept = np.zeros(len(order), bool)  # (V,)
    kept[ranked[before < target]] = True
    return kept


def weights_of(logits: np.ndarray) -> np.ndarray:  # (B, V) -> int64 (B, V)
    """The softmax as whole numbers, relative to the likeliest token."""
    return np.rint(np.exp(distances_from_largest(logits)) * LIKELIEST).astype(np.int64)


def distances_from_largest(logits: np.ndarray) -> np.ndarray:  # (B, V)
    """Logits minus their largest: 0 for that, infinite or not, so that no temperature takes it out of the range."""
    largest = logits.max(axis=-1, keepdims=True)  # (B, 1)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(logits == largest, 0.0, logits - largest)


def finite(value: Any) -> float:
    """A number as float64, NaN for what is none or is infinite."""
    number = as_float(value)
    return number if math.isfinite(number) else math.nan


def as_float(value: Any) -> float:
    """A number as float64, NaN for what is none or is too large."""
    if isinstance(value, bool) or not isinstance(value, float | int | np.floating | np.integer):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def check(what: str, value: Any, rule: str, holds: bool) -> None:
    """Raise ValueError for a sampler's number that means nothing."""
    if not holds:
        raise ValueError(f"generate: {what} must be a number {rule}, not {value!r}")


def as_samplers(samplers: Iterable[Sampler] | None) -> tuple[Sampler, ...]:
    """The samplers of a list; None is none. Raises TypeError for what is no list of functions."""
    rule = "generate: samplers must be a list of functions such as TopK(40), not"
    if samplers is None:
        return ()
    if not isinstance(samplers, Iterable) or isinstance(samplers, str | Mapping | Set):
        raise TypeError(f"{rule} {samplers!r}")
    found = tuple(samplers)
    for sampler in found:
        if not callable(sampler) or isinstance(sampler, type):
            of_class = f", which is a class: {sampler.__name__}(...) is a sampler" if isinstance(sampler, type) else ""
            raise TypeError(f"{rule} {sampler!r}{of_class}")
    return found


def checked_result(sampler: Sampler, logits: Any, shape: tuple[int, ...]) -> np.ndarray:
    """What a sampler returned, as float64. Raises ValueError unless these are logits of this shape."""
    if not isinstance(logits, np.ndarray) or logits.shape != shape or logits.dtype.kind not in "fiu":
        name = getattr(sampler, "__name__", sampler)
        given = f"{logits.dtype} {logits.shape}" if isinstance(logits, np.ndarray) else type(logits).__name__
        raise ValueError(f"generate: the sampler {name} must return an array of logits {shape}, not {given}")
    return logits.astype(np.float64, copy=False)


def counts_of(prompts: np.ndarray, key_mask: Any, vocabulary: int) -> Counts:  # (B, Tp) int; (B, Tp) bool or None
    """The tokens of each prompt, counted; nothing has been written yet."""
    found = np.zeros((len(prompts), vocabulary), np.int32)  # (B, V)
    counted = np.ones(prompts.shape, bool) if key_mask is None else to_numpy(key_mask) != 0  # (B, Tp)
    rows, _ = np.nonzero(counted)
    np.add.at(found, (rows, prompts[counted]), 1)
    return Counts(found, np.zeros_like(found))
