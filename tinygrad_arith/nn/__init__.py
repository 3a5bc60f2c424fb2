"""Modules: parameters under dotted names, and the layers of a transformer."""

from typing import NoReturn

from . import names_elsewhere
from .attention import KeyValueCache, SelfAttention
from .block import Block
from .diagnosis import first_nonfinite
from .dropout import Dropout
from .embedding import Embedding
from .errors import NotInitialized, ParameterError
from .feed_forward import FeedForward, GatedFeedForward
from .layernorm import LayerNorm
from .linear import Linear
from .module import Module, observe_outputs
from .normalization import Identity, make_norm
from .parameter import FlatParameters, Parameter
from .positions import Rotary, SinusoidalPositions, make_position_table
from .rmsnorm import RMSNorm

__all__ = [
    "Block",
    "Dropout",
    "Embedding",
    "FeedForward",
    "FlatParameters",
    "GatedFeedForward",
    "Identity",
    "KeyValueCache",
    "LayerNorm",
    "Linear",
    "Module",
    "NotInitialized",
    "Parameter",
    "ParameterError",
    "RMSNorm",
    "Rotary",
    "SelfAttention",
    "SinusoidalPositions",
    "first_nonfinite",
    "make_norm",
    "make_position_table",
    "observe_outputs",
]


def __getattr__(name: str) -> NoReturn:  # of what is not here
    raise AttributeError(names_elsewhere.of_layer(name))
