"""How models stretch rotary positions over longer texts than they were trained on: other frequencies for each pair.

Each has the meaning of its namesake in the configurations of published models.
"""

import math
from dataclasses import dataclass
from typing import Any

from ..backend import array_module
from .numbers import require_not_negative, require_positive, require_sizes
from .shape_rules import ShapeError, require


@dataclass(frozen=True)
class LinearScaling:
    """All positions divided by a factor. Chen et al.: "Extending Context Window of Large Language Models via Positional
    Interpolation", 2023, arXiv 2306.15595.
    """

    factor: float
    magnitude: float = 1.0

    def __post_init__(self) -> None:
        """Raises ShapeError for a number that cannot be."""
        require_positive("LinearScaling", factor=self.factor, magnitude=self.magnitude)

    def stretched(self, frequencies: Any) -> Any:  # (W/2,) -> (W/2,)
        """The frequencies of the pairs."""
        return frequencies / self.factor


@dataclass(frozen=True)
class Llama3Scaling:
    """Waves that fit into the `original` context fewer than `low` times are stretched by a factor, those that fit more
    than `high` times are not, and those between in part. Dubey et al.: "The Llama 3 Herd of Models", 2024,
    arXiv 2407.21783.
    """

    factor: float
    low: float = 1.0
    high: float = 4.0
    original: int = 8192
    magnitude: float = 1.0

    def __post_init__(self) -> None:
        """Raises ShapeError for a number that cannot be, or a `high` that is not above `low`."""
        name = type(self).__name__
        require_positive(name, factor=self.factor, high=self.high, original=self.original, magnitude=self.magnitude)
        require_not_negative(name, low=self.low)
        require(self.low < self.high, name, f"high must be above low, not {self.high} and {self.low}")

    def stretched(self, frequencies: Any) -> Any:  # (W/2,) -> (W/2,)
        """The frequencies of the pairs."""
        waves = self.original * frequencies / (2.0 * math.pi)  # (W/2,), in the original context
        kept = array_module(frequencies).clip((waves - self.low) / (self.high - self.low), 0.0, 1.0)  # (W/2,)
        return frequencies * (kept + (1.0 - kept) / self.factor)  # (W/2,)


@dataclass(frozen=True)
class LongRopeScaling:
    """A factor for each pair, which divides its frequency, and a magnitude that turned channels are multiplied by. Ding
    et al.: "LongRoPE: Extending LLM Context Window Beyond 2 Million Tokens", 2024, arXiv 2402.13753. Models have short
    and long factors; which are meant, the length of the context decides.
    """

    factors: tuple[float, ...]
    magnitude: float = 1.0

    def __post_init__(self) -> None:
        """Raises ShapeError for what are no factors."""
        given = isinstance(self.factors, tuple | list) and self.factors
        require(bool(given), "LongRopeScaling", f"factors must be a tuple of numbers, not {self.factors!r}")
        numbers = {f"factors[{index}]": factor for index, factor in enumerate(self.factors)}
        require_positive("LongRopeScaling", **numbers, magnitude=self.magnitude)

    @staticmethod
    def magnitude_for(context: int, original: int) -> float:
        """The usual magnitude of a model whose context grew from `original` to `context` positions.

        Raises ShapeError for an `original` below 2, whose logarithm nothing can be divided by.
        """
        require_sizes("magnitude_for", context=context)
        require_sizes("magnitude_for", least=2, original=original)
        return math.sqrt(1.0 + math.log(context / original) / math.log(original)) if context > original else 1.0

    def stretched(self, frequencies: Any) -> Any:  # (W/2,) -> (W/2,)
        """The frequencies of the pairs, of which there are as many as factors."""
        xp = array_module(frequencies)  # no copy from the host, which a captured graph would not make again
        factors = xp.concatenate([xp.full(1, factor, dtype=frequencies.dtype) for factor in self.factors])  # (W/2,)
        return frequencies / factors  # (W/2,)


Scaling = LinearScaling | Llama3Scaling | LongRopeScaling


def check_scaling(name: str, scaling: Any, pairs: int | None = None) -> None:
    """Raises ShapeError for what is no scaling, or has factors for another number of pairs."""
    known = scaling is None or isinstance(scaling, Scaling)
    rule = "scaling must be a LinearScaling, Llama3Scaling or LongRopeScaling of ops.rotary_scaling"
    require(known, name, f"{rule}, not {scaling!r}")
    if isinstance(scaling, LongRopeScaling) and pairs not in (None, len(scaling.factors)):
        raise ShapeError(f"{name}: {len(scaling.factors)} factors for {pairs} pairs of channels")
