"""Dropout as a module, with a site of its own in the streams of random numbers."""

from ..autograd import Tensor
from ..autograd import functions as F
from ..backend import RandomKey
from ..ops import ShapeError
from .module import Module


class Dropout(Module):
    """Zeroes each element with probability `rate`, given a key; without a key (evaluation) it does nothing."""

    def __init__(self, rate: float):
        self.rate = rate
        self.site = 0

    def check_sizes(self) -> None:
        if not 0.0 <= self.rate < 1.0:
            raise ShapeError(f"dropout: the rate must be at least 0 and below 1; got {self.rate}")

    def name_random_site(self, site: int) -> None:
        self.site = site

    def forward(self, x: Tensor, key: RandomKey | None) -> Tensor:  # (...) -> (...)
        if key is None or self.rate == 0.0:
            return x
        return F.dropout(x, self.rate, key.at(site=self.site))
