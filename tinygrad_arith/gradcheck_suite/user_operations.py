"""A user's own operations for the `gradcheck` command: pairs found in a file by the names of its functions."""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..ops import OPERATIONS
from ..options.errors import UserError
from ..options.option import did_you_mean
from ..tasks.user_tasks import importable
from ..verify.arguments import bind_arguments, chosen_positions
from .operations import mutants
from .subjects import common_mutants, operation_trials
from .suite import Pair, Subject, Trial

DRAWS = 2  # how often X_inputs is called, each time with another random generator
SETTINGS = (
    *("options", "wrt", "names", "eps", "tolerance", "zero", "undecided", "allow", "cotangent", "sizes", "full_limit"),
)
CONVENTION = "X_forward(...) -> (out, cache), X_backward(dy, cache) -> gradients, X_inputs(rng) -> tuple or dict"


def user_subjects(path: str, seed: int = 0) -> list[Subject]:
    """The pairs `X_forward`, `X_backward` of a file, with the inputs that its `X_inputs` draws.

    A pair with the name of one of our operations may do without `X_inputs`: then our cases are used. Raises UserError,
    in one sentence, for a file that cannot be run or where a part of a pair is missing.
    """
    module = load_file(path)
    names = pair_names(module)
    return [Subject("your pair", name, _trials(module, name, seed)) for name in names]


def load_file(path: str) -> ModuleType:
    """The file as a module; its folder can be imported from, as with `python my_ops.py`."""
    file = Path(path).resolve()
    if file.is_dir():
        raise UserError(f"--file {path}: this is a folder, not a Python file")
    if not file.is_file():
        raise UserError(f"--file {path}: there is no such file")
    spec = importlib.util.spec_from_file_location(module_name(file), file)
    if spec is None or spec.loader is None:
        raise UserError(f"--file {path}: this is not a Python file (its name must end in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and pickle look for their module
    try:
        with importable(file.parent):
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's code may raise anything, and may end the program (SystemExit)
        del sys.modules[spec.name]
        raise UserError(f"{file.name}:{_line_in(file, error)}: {_end_of_loading(error)}") from error
    return module


class NoArguments(list):
    """`sys.argv` for a user's file: its path alone. Whoever asks for more is told that there is no command line.

    A file that went on with its defaults would be checked, but perhaps not as it is used.
    """

    def __getitem__(self, index):
        """The path; raises UserError for what would come after it (argparse asks for `[1:]`)."""
        if (index.start or 0) > 0 if isinstance(index, slice) else index not in (0, -1):
            raise UserError("a file that is checked has no command line")
        return super().__getitem__(index)


def module_name(file: Path) -> str:
    """The name by which a file can be imported from its own folder: processes that it spawns do that.

    If another module has the name already (a file `random.py`), or there is a dot in it, it is a name of our own.
    """
    taken = file.stem in sys.modules or "." in file.stem
    return f"gradcheck_file_{file.stem}" if taken else file.stem


def _end_of_loading(error: BaseException) -> str:
    aside = 'put this line under if __name__ == "__main__":'
    if isinstance(error, UserError):
        return f"the file reads the arguments of a command line here, and has none while it is checked; {aside}"
    if isinstance(error, SystemExit):
        return f"the file ends the program here, before its pairs are checked; {aside}"
    return _one_line(error)


def pair_names(module: ModuleType) -> list[str]:
    """The names X of the file's pairs, in the order of their forwards; imported pairs count too."""
    functions = _functions(module)
    for ending, other in (("_forward", "_backward"), ("_backward", "_forward")):
        for name, function in functions.items():
            partner, own = name.removesuffix(ending) + other, function.__module__ == module.__name__
            if name.endswith(ending) and own and partner not in functions:
                hint = did_you_mean(partner, [known for known in functions if known.endswith(other)])
                raise UserError(f"{_file(module)}: there is {name}, but no {partner}{hint}")
    pairs = [name.removesuffix("_forward") for name in functions if name.endswith("_forward")]
    names = [name for name in pairs if f"{name}_backward" in functions]
    if not names:
        raise UserError(f"{_file(module)}: no pair of functions found; the names to use are {CONVENTION}")
    return names


def _trials(module: ModuleType, name: str, seed: int) -> tuple[Trial, ...]:
    """The trials of one pair: on our cases, or on what its `X_inputs` draws."""
    functions, settings = _functions(module), _settings(module, name)
    pair = functions[f"{name}_forward"], functions[f"{name}_backward"]
    draw = functions.get(f"{name}_inputs")
    if draw is not None:
        return tuple(_drawn_trial(module, name, pair, draw, settings, seed, number) for number in range(DRAWS))
    if name not in OPERATIONS:
        hint = did_you_mean(f"{name}_inputs", [known for known in functions if known.endswith("_inputs")])
        raise UserError(
            f"{_file(module)}: {name}_forward needs a function {name}_inputs(rng) that returns a tuple or dict of "
            f"inputs{hint or ' (only the names of our own operations do without it)'}"
        )
    if settings:
        raise UserError(f"{_file(module)}: {name}_settings needs a {name}_inputs: without it our own cases are used")
    return operation_trials(name, seed, pair)


def _drawn_trial(
    module: ModuleType, name: str, pair: Pair, draw: Callable, settings: Mapping[str, Any], seed: int, number: int
) -> Trial:
    """One trial on inputs that the user's function draws."""
    try:
        inputs = draw(np.random.default_rng([seed, number]))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        line = _line_in(Path(str(module.__file__)), error)
        ends = isinstance(error, SystemExit)
        what = "ends the program instead of returning inputs" if ends else f"raised {_one_line(error)}"
        raise UserError(f"{_file(module)}:{line}: {name}_inputs {what}") from error
    if not isinstance(inputs, (tuple, dict, np.ndarray)):
        kind = type(inputs).__name__
        raise UserError(f"{_file(module)}: {name}_inputs must return a tuple or a dict of inputs, not {kind}")
    try:
        arguments = bind_arguments(pair[0], inputs, settings.get("options"), settings.get("names"))
        compared = chosen_positions(arguments, settings.get("wrt"))
    except ValueError as error:
        raise UserError(f"{_file(module)}: {name}_settings: {error}") from error
    names = [arguments.names[position] for position in arguments.differentiable]
    unseen = [arguments.names[position] for position in arguments.differentiable if position not in compared]
    without = [*unseen, *_names(settings, "zero"), *_names(settings, "undecided")]
    wrong, reference = common_mutants(names, without), None
    if name in OPERATIONS and _same_parameters(pair[0], OPERATIONS[name].forward):
        wrong, reference = mutants(name), (OPERATIONS[name].forward, OPERATIONS[name].backward)
    trial = f"draw {number + 1} of {name}_inputs"
    written, file = f"{name}_settings", str(module.__file__)
    return Trial(trial, pair, inputs, settings, wrong, reference, written=written, file=file)


def _settings(module: ModuleType, name: str) -> dict[str, Any]:
    """`X_settings` of the file: keyword arguments of `check_gradients`."""
    settings = getattr(module, f"{name}_settings", {})
    if not isinstance(settings, dict):
        raise UserError(f"{_file(module)}: {name}_settings must be a dict, not {type(settings).__name__}")
    for key in settings:
        if key not in SETTINGS:
            hint = did_you_mean(str(key), SETTINGS)
            raise UserError(f"{_file(module)}: {name}_settings has {key!r}{hint}; known: {', '.join(SETTINGS)}")
    return settings


def _names(settings: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The names of inputs in a setting, which may be one alone."""
    value = settings.get(key, ())
    return (value,) if isinstance(value, str) else tuple(value)


def _functions(module: ModuleType) -> dict[str, Callable]:
    """The public functions of the file by name, in its order."""
    return {name: value for name, value in vars(module).items() if callable(value) and not name.startswith("_")}


def _same_parameters(mine: Callable, ours: Callable) -> bool:
    return list(inspect.signature(mine).parameters) == list(inspect.signature(ours).parameters)


def _file(module: ModuleType) -> str:
    return Path(str(module.__file__)).name


def _line_in(file: Path, error: BaseException) -> int:
    """The line of the file at which an exception arose, the innermost one."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno or 1
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return (lines[-1] if lines else 1) or 1


def _one_line(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(text.split())}".removesuffix(": ")
