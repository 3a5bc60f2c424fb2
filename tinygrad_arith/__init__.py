"""Transformers with every gradient written by hand, in NumPy and CuPy, that learn arithmetic.

The packages, each importing from those before it: `backend` (arrays, dtypes, random numbers), `ops` (the reference: one
file per operation, forward and backward), `autograd` (the tape), `cpu` and `cuda` (the same operations, faster), `nn`,
`optim`, `weights`, `models`, `generation`, `tasks`, `run_files`, `training`, `comparisons`, `plots`, `cli`, `face`.
`verify` checks gradients and needs nothing but NumPy. The commands are `python -m tinygrad_arith.train`, `.sample`,
`.evaluate`, `.peek`, `.compare`, `.plot`, `.gradcheck`.

Not related to tinygrad/tinygrad.

    import tinygrad_arith as ta

    run = ta.fit("binary-reversed", steps=300)      # docs/python.md tells of all
    run.answer("13+3")
    model = ta.load("runs/binary-reversed-seed1")   # a run, or a directory that ta.save has written
    ta.save(model, "directory")
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import generation, models, nn, ops, optim, plots, tasks, verify, weights
    from .autograd import Tensor, no_grad
    from .autograd import functions as F
    from .face.fitting import fit, resume
    from .face.run import Answer, Run
    from .options.errors import UserError
    from .saved_models import load, save
    from .training.config import Config
    from .verify import check_gradients

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "Config",
    "F",
    "Run",
    "Tensor",
    "UserError",
    "__version__",
    "check_gradients",
    "fit",
    "generation",
    "load",
    "models",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "plots",
    "resume",
    "save",
    "tasks",
    "verify",
    "weights",
]

PLACES = {  # of the names here: loaded when they are used
    "Answer": "face.run",
    "Config": "training.config",
    "Run": "face.run",
    "Tensor": "autograd",
    "UserError": "options.errors",
    "check_gradients": "verify",
    "fit": "face.fitting",
    "load": "saved_models",
    "no_grad": "autograd",
    "resume": "face.fitting",
    "save": "saved_models",
}
MODULES = {"F": "autograd.functions"} | {
    name: name for name in ("generation", "models", "nn", "ops", "optim", "plots", "tasks", "verify", "weights")
}


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return importlib.import_module(f"{__name__}.{MODULES[name]}")
    if name not in PLACES:
        raise AttributeError(said_of(name), name=name)
    return getattr(importlib.import_module(f"{__name__}.{PLACES[name]}"), name)


def said_of(name: str) -> str:
    """What is said for a name that is not here."""
    if name.startswith("_"):  # Python and its tools ask for such ones; nothing is loaded to tell them
        return f"module {__name__!r} has no attribute {name!r}"
    from .face.names_elsewhere import of_package

    return of_package(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
