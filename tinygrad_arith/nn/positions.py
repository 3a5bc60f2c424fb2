"""Where a token stands: a vector that is added to its embedding, from a learned table or of sinusoids, or a turn of
queries and keys.
"""

from dataclasses import dataclass

import numpy as np

from ..autograd import Tensor
from ..backend import array_module
from ..ops import ArraySpec, ShapeError
from ..ops.rotary import check_how
from ..ops.rotary_scaling import Scaling
from .embedding import Embedding
from .module import Module

LONGEST_WAVE = 10_000.0  # in units of 2π positions


@dataclass(frozen=True)
class Rotary:
    """How queries and keys are turned by their positions (Su et al. 2021, arXiv 2104.09864); see `ops.rotary_forward`.

    base:    the longest wave in units of 2 pi
    pairing: channels turn in pairs of "neighbours", or by "halves" as in the Llama of Hugging Face
    width:   how many channels of a head are turned; None: all
    scaling: of the frequencies, for longer texts than a model was trained on, from `ops.rotary_scaling`
    """

    base: float = LONGEST_WAVE
    pairing: str = "neighbours"
    width: int | None = None
    scaling: Scaling | None = None

    def __post_init__(self) -> None:
        """Raises ShapeError for a way to turn that no head can be turned in."""
        check_how("Rotary", self.base, self.pairing, self.width, self.scaling)


class SinusoidalPositions(Module):
    """position p -> sin(p w_i), cos(p w_i) in channels 2i, 2i + 1, with w_i = 10000^(-2i/C).

    Vaswani et al.: "Attention Is All You Need", 2017, arXiv 1706.03762, section 3.5.
    """

    def __init__(self, channels: int):
        self.channels = channels

    def check_sizes(self) -> None:
        if self.channels % 2:
            raise ShapeError(f"sinusoidal positions come in pairs of channels; {self.channels} is odd")

    def forward(self, positions, dtype) -> Tensor:  # (...) int -> (..., C) of the given dtype
        """Any position id has a vector: there is no table that could be too short."""
        if isinstance(positions, ArraySpec):
            return Tensor(ArraySpec((*positions.shape, self.channels), dtype))
        xp = array_module(positions)
        wave = LONGEST_WAVE ** (-xp.arange(0, self.channels, 2, dtype=np.float64) / self.channels)  # (C/2,)
        angle = positions[..., None] * wave  # (..., C/2)
        pairs = xp.stack([xp.sin(angle), xp.cos(angle)], axis=-1)  # (..., C/2, 2)
        return Tensor(pairs.reshape(*positions.shape, self.channels).astype(dtype))


def make_position_table(kind: str, count: int, channels: int, std: float) -> Module | None:
    """What makes vectors of position ids 0 to count - 1: "learned" (normal with this standard deviation at first) or
    "sinusoidal"; None for "rotary" and "none", which add nothing to the embedding. ValueError for another word.
    """
    if kind == "learned":
        return Embedding(count, channels, std=std)
    if kind == "sinusoidal":
        return SinusoidalPositions(channels)
    if kind not in ("rotary", "none"):
        raise ValueError(f"no positions {kind!r}: they must be one of learned, sinusoidal, rotary, none")
    return None
