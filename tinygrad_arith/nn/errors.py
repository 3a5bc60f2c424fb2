"""What is said when parameters are not what a use of them needs. Tensors say it too, so it is written there."""

from ..autograd.errors import NotInitialized, ParameterError, some

__all__ = ["NotInitialized", "ParameterError", "some"]
