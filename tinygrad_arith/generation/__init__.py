"""Writing on: one token after another, from any model that reads tokens."""

from .decoding import choose_tokens, generate

__all__ = ["choose_tokens", "generate"]
