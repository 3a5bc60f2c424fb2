"""Which dtype a model keeps its parameters in, computes in, and accumulates gradients in."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DtypePolicy:
    """The three dtypes of a model. Models are built with a policy; nothing in them casts.

    parameters: what the weights are stored in
    compute:    what activations are computed in
    gradients:  what parameter gradients are accumulated in
    """

    parameters: np.dtype
    compute: np.dtype
    gradients: np.dtype

    @classmethod
    def uniform(cls, dtype: str | type | np.dtype) -> "DtypePolicy":
        """The same dtype everywhere: float32 for training on a CPU, float64 for gradient checks."""
        dtype = np.dtype(dtype)
        return cls(dtype, dtype, dtype)
