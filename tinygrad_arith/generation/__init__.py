"""Writing on: one token after another, from any model that reads tokens."""

from .choosing import choose_tokens
from .decoding import Continuation, Piece, complete, generate, stream
from .samplers import (
    Counts,
    FrequencyPenalty,
    MinP,
    PresencePenalty,
    RepetitionPenalty,
    Sampler,
    Temperature,
    TopK,
    TopP,
    Typical,
    usual_samplers,
)

__all__ = [
    "Continuation",
    "Counts",
    "FrequencyPenalty",
    "MinP",
    "Piece",
    "PresencePenalty",
    "RepetitionPenalty",
    "Sampler",
    "Temperature",
    "TopK",
    "TopP",
    "Typical",
    "choose_tokens",
    "complete",
    "generate",
    "stream",
    "usual_samplers",
]
