"""What parameters start as. Each draws from a key made of the seed and the parameter's dotted name."""

from dataclasses import dataclass

import numpy as np

from ..backend import RandomKey, normal


@dataclass(frozen=True)
class Normal:
    """Independent normal numbers with mean 0 and the given standard deviation."""

    std: float

    def __call__(self, key: RandomKey, shape: tuple[int, ...]) -> np.ndarray:
        return self.std * normal(key, shape, dtype=np.float64)


@dataclass(frozen=True)
class Constant:
    """The same number everywhere."""

    value: float

    def __call__(self, key: RandomKey, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, self.value)


ZEROS, ONES = Constant(0.0), Constant(1.0)
