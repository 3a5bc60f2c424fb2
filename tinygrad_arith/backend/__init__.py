"""Which array library, which dtypes, which random numbers: everything that knows about the machine."""

from .arrays import array_module, on_device_of, repeat_rows, to_numpy
from .cores import available_cores
from .devices import library_of, obstacle_to_cuda
from .environment import numpy_alone
from .ordered_sums import add_at
from .policy import DtypePolicy, as_policy, bfloat16
from .random import RandomKey, integers, normal, random_bits, require_numbers, uniform

__all__ = [
    "DtypePolicy",
    "RandomKey",
    "add_at",
    "array_module",
    "as_policy",
    "available_cores",
    "bfloat16",
    "integers",
    "library_of",
    "normal",
    "numpy_alone",
    "obstacle_to_cuda",
    "on_device_of",
    "random_bits",
    "repeat_rows",
    "require_numbers",
    "to_numpy",
    "uniform",
]
