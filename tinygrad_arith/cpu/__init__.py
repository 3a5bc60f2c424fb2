"""The operations of `ops` on the CPU, faster. Loaded by the registry at the first dispatch to a CPU array."""

from . import operations
from .memory import keep_freed_memory

__all__ = ["keep_freed_memory", "operations"]
