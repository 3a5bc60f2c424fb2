"""Inputs at which every operation of the textbook is checked: plain NumPy data, a file for each family of operations.

Sizes are asymmetric (no two axes of an input agree), parameters are random, and each operation has a case for each
way in which its gradient can go wrong: masks, groups of heads, fewer queries than keys, repeated ids, broadcasting,
strided and reversed views. The tests and the `gradcheck` command share them. The files have the names of those in
`verify/mutants/`, which hold the same operations' wrong backwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

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
from .case import Case, Cases

__all__ = ["CASES", "Case", "cases"]

_FILES = (
    *(embedding, linear, layernorm, rmsnorm, attention, rotary, activations, ffn, cross_entropy),
    *(arithmetic, reductions, softmax, joining, shaping),
)

CASES: dict[str, Cases] = {name: draw for file in _FILES for name, draw in file.CASES.items()}


def cases(operation: str, seed: int = 0, random_key: Callable[[int], Any] | None = None) -> tuple[Case, ...]:
    """The cases of one operation; another seed draws other numbers of the same shapes.

    `random_key(seed)` makes the key of operations that draw numbers (dropout); without it they have no cases. An
    operation without cases is a KeyError that lists those with.
    """
    if operation not in CASES:
        raise KeyError(f"no cases for the operation {operation!r}; there are cases for {', '.join(CASES)}")
    rng = np.random.default_rng([seed, *operation.encode()])
    if operation == "dropout":
        return () if random_key is None else CASES[operation](rng, random_key(seed))
    return CASES[operation](rng)
