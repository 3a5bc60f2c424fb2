"""What people look for under the names of other libraries, and what does it here."""

from collections.abc import Iterable

from ..options.habits import meant_flag
from ..options.option import flag_name

ARGUMENTS = {
    "callback": "callbacks",
    "verbose": "progress",
}
OF_A_RUN = {
    "fit": "ta.fit, or ta.resume(run),",
    "losses": "[row['loss'] for row in run.history]",
    "metrics": "run.result, run.history or run.evaluate()",
    "plot": "run.curves()",
    "predict": "run.answer(problem)",
    "save": "ta.save(run.model, directory)",
    "score": "run.evaluate()",
    "test": "run.evaluate()",
    "train": "ta.resume(run)",
}
OF_THE_PACKAGE = {
    "Trainer": "ta.fit",
    "array": "ta.Tensor",
    "cuda": 'device="cuda" of ta.fit, ta.load and ta.Run',
    "evaluate": "ta.Run(path).evaluate()",
    "grad": "tensor.backward()",
    "load_run": "ta.Run(path)",
    "manual_seed": "the argument seed",
    "predict": "ta.Run(path).answer(problem)",
    "sample": "ta.Run(path).answer(problem)",
    "tensor": "ta.Tensor",
    "train": "ta.fit",
}


def meant_argument(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown argument: which one, or which flag, was meant; or nothing."""
    if name in ARGUMENTS:
        return f"; did you mean {ARGUMENTS[name]}?"
    return meant_flag(flag_name(name), [flag_name(one) for one in known])


def of_run(name: str) -> str:
    """What is said for an attribute that a run does not have."""
    return f"a Run has no {name}" + (f"; {OF_A_RUN[name]} does it" if name in OF_A_RUN else "")


def of_package(name: str) -> str:
    """What is said for a name that the package does not have."""
    does = f"; {OF_THE_PACKAGE[name]} does it" if name in OF_THE_PACKAGE else ""
    return f"module 'tinygrad_arith' has no attribute {name!r}{does}"
