"""Weights on disk: safetensors, read and written for any module, under its own names or another program's."""

from .loading import Loaded, load
from .mapping import Fused, NameTable, Piece, Row
from .saving import save
from .source import Source

__all__ = ["Fused", "Loaded", "NameTable", "Piece", "Row", "Source", "load", "save"]
