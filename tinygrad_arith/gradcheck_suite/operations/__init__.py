"""Our operations before the checker: the inputs at which each is checked, and its named wrong backwards.

One file for each file of `ops`, under the same name: CASES and MUTANTS by operation.

A **case** is plain NumPy data. Sizes are asymmetric (no two axes of an input agree), parameters are random, and each
operation has a case for each way in which its gradient can go wrong: masks, groups of heads, fewer queries than keys,
repeated ids, broadcasting, strided and reversed views. The tests and the `gradcheck` command share them.

A **mutant** is a slip that a person might make: a missing term, a forgotten mask, a wrong axis, a lost factor. Mutants
prove that the checks would notice (`rejects_mutants`), and they give a diagnosis its words: "equals what a known slip
gives: dscores without the row-sum term".
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from ...ops import OPERATIONS, Operation
from ..case import Case
from ..mutant import Mutant

__all__ = ["cases", "file_name", "mutants"]


def cases(operation: str, seed: int = 0, random_key: Callable[[int], Any] | None = None) -> tuple[Case, ...]:
    """The cases of one operation; another seed draws other numbers of the same shapes.

    `random_key(seed)` makes the key of operations that draw numbers (dropout); without it they have no cases. An
    operation without cases is a KeyError that lists those with.
    """
    draw = _of_file("CASES", operation)
    rng = np.random.default_rng([seed, *operation.encode()])
    if operation == "dropout":
        return () if random_key is None else draw(rng, random_key(seed))
    return draw(rng)


def mutants(operation: str) -> dict[str, Mutant]:
    """The wrong backwards of one operation by description."""
    return _of_file("MUTANTS", operation)


def file_name(operation: Operation) -> str:
    """The name of an operation's file in `ops`, which its file here shares: "softmax" for `log_softmax`."""
    return operation.forward.__module__.rpartition(".")[2]


def _of_file(table: str, operation: str) -> Any:
    """An operation's entry in a table of its file. Raises KeyError for one that is not there."""
    if operation not in OPERATIONS:
        raise KeyError(f"no cases for the operation {operation!r}; there are cases for {', '.join(OPERATIONS)}")
    name = file_name(OPERATIONS[operation])
    try:
        file = import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise KeyError(f"no cases for {operation!r}: there is no gradcheck_suite/operations/{name}.py") from None
    return getattr(file, table)[operation]
