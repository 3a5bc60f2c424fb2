"""Which dtype a model keeps its parameters in, computes in, and accumulates gradients in."""

from dataclasses import dataclass

import numpy as np


def bfloat16() -> np.dtype:
    """The dtype bfloat16, which NumPy knows through the package ml_dtypes (it comes with the extras for the GPU)."""
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


@dataclass(frozen=True)
class DtypePolicy:
    """The three dtypes of a model. Models are built with a policy; nothing in them casts.

    parameters: what the weights are stored in, and what the optimizer updates
    compute:    what the model computes in, weights and activations alike; if it is not that of the parameters, the
                model has a copy of them
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

    @classmethod
    def named(cls, name: str) -> "DtypePolicy":
        """The policy of a `--dtype`.

        "bfloat16" stores and adds up in float32 and computes in bfloat16: an update is often smaller than the step
        from one bfloat16 to the next, so weights that were stored in it would not move. Others are used everywhere.
        """
        if name != "bfloat16":
            return cls.uniform(name)
        return cls(np.dtype(np.float32), bfloat16(), np.dtype(np.float32))


def as_policy(policy: DtypePolicy | str | None) -> DtypePolicy:
    """The policy itself, that of a `--dtype` by its name, or float32 everywhere. Raises TypeError for anything else."""
    if isinstance(policy, DtypePolicy):
        return policy
    try:
        named = DtypePolicy.named("float32" if policy is None else policy)
        if named.compute.kind == "f" or named.compute.name == "bfloat16":
            return named
    except TypeError:
        pass
    raise TypeError(f'a policy is a DtypePolicy, or the name of a floating dtype such as "float64", not {policy!r}')
