"""Modules: parameters under dotted names, and the layers of a transformer."""

from .attention import CausalSelfAttention, KeyValueCache
from .block import Block
from .diagnosis import first_nonfinite
from .dropout import Dropout
from .embedding import Embedding
from .feed_forward import FeedForward
from .layernorm import LayerNorm
from .linear import Linear
from .module import Module, observe_outputs
from .parameter import FlatParameters, Parameter
from .positions import SinusoidalPositions

__all__ = [
    "Block",
    "CausalSelfAttention",
    "Dropout",
    "Embedding",
    "FeedForward",
    "FlatParameters",
    "KeyValueCache",
    "LayerNorm",
    "Linear",
    "Module",
    "Parameter",
    "SinusoidalPositions",
    "first_nonfinite",
    "observe_outputs",
]
