"""Which array library, which dtypes, which random numbers: everything that knows about the machine."""

from .arrays import array_module, to_numpy
from .cores import available_cores
from .policy import DtypePolicy
from .random import RandomKey, integers, normal, random_bits, uniform

__all__ = [
    "DtypePolicy",
    "RandomKey",
    "array_module",
    "available_cores",
    "integers",
    "normal",
    "random_bits",
    "to_numpy",
    "uniform",
]
