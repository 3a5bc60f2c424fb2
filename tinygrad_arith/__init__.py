"""Transformers with every gradient written by hand, in NumPy and CuPy, that learn arithmetic.

The packages, each importing from those before it: `backend` (arrays, dtypes, random numbers), `ops` (the reference: one
file per operation, forward and backward), `autograd` (the tape), `cpu` and `cuda` (the same operations, faster), `nn`,
`optim`, `weights`, `models`, `generation`, `tasks`, `run_files`, `training`, `comparisons`, `plots`, `cli`. `verify`
checks gradients and needs nothing but NumPy. The commands are `python -m tinygrad_arith.train`, `.sample`, `.evaluate`,
`.peek`, `.compare`, `.plot`, `.gradcheck`.

Not related to tinygrad/tinygrad.

    import tinygrad_arith as ta

    model = ta.load("runs/binary-reversed-seed1")   # a run, or a directory that ta.save has written
    ta.save(model, "directory")
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .saved_models import load, save

__version__ = "0.1.0"
__all__ = ["__version__", "load", "save"]

PLACES = {"load": "saved_models", "save": "saved_models"}  # of the names here: loaded when they are used


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *PLACES})
