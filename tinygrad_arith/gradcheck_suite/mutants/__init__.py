"""Named wrong backwards of every operation: `MUTANTS[operation][description](backward, dy, cache) -> gradients`.

Each is a slip that a person might make: a missing term, a forgotten mask, a wrong axis, a lost factor. They prove that
the checks would notice (`rejects_mutants`), and they give a diagnosis its words: "equals what a known slip gives:
dscores without the row-sum term". `backward` is the true backward, which many of them bend; caches are read by the
names of their fields.
"""

from . import (
    activations,
    arithmetic,
    attention,
    cross_entropy,
    embedding,
    ffn,
    joining,
    layernorm,
    linear,
    reductions,
    rmsnorm,
    rotary,
    shaping,
    softmax,
)
from .common import Mutant

__all__ = ["MUTANTS", "Mutant"]

_FILES = (
    *(embedding, linear, layernorm, rmsnorm, attention, rotary, activations, ffn, cross_entropy),
    *(arithmetic, reductions, softmax, joining, shaping),
)

MUTANTS: dict[str, dict[str, Mutant]] = {name: mutants for file in _FILES for name, mutants in file.MUTANTS.items()}
