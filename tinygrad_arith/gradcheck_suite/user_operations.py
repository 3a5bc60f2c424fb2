"""A user's own operations for the `gradcheck` command: pairs found in a file by the names of its functions.

import numpy as np

def square_forward(x):
    return x * x, x  # the output, and what the backward needs

def square_backward(dy, x):
    return dy * 2.0 * x  # the gradient of each input

def square_inputs(rng):
    return {"x": rng.normal(size=(3, 4))}

square_settings = {"tolerance": 1e-6}  # may be left out: keyword arguments of `check_gradients`
"""

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..files.reading import reading
from ..files.source import new_module, spec_of
from ..files.text import check_source
from ..ops import OPERATIONS
from ..options.errors import UserError, as_user_error
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

    A pair with the name of one of our operations may do without `X_inputs`: then our cases are used. A pair of which a
    part is missing or wrong is there as a subject that cannot be checked. Raises UserError, in one sentence, for a file
    that cannot be run or has no pair that can be checked.
    """
    file = UserFile(path)
    lone = [Subject("your pair", name, (), fault) for name, fault in file.lone_functions().items()]
    found = [*lone, *(user_subject(file, name, seed) for name in file.pair_names())]
    if not found:
        raise UserError(f"{file.name}: no pair of functions found; the names to use are {CONVENTION}")
    if all(subject.fault for subject in found):
        raise UserError(found[0].fault)
    return found


def user_subject(file: "UserFile", name: str, seed: int) -> Subject:
    """One pair of a file, or what is wrong with it."""
    try:
        return Subject("your pair", name, file.trials(name, seed))
    except UserError as error:
        return Subject("your pair", name, (), str(error))


class UserFile:
    """A user's file, run as a module; its folder can be imported from, as with `python my_ops.py`.

    path:   of the file, absolute, as tracebacks have it
    values: what the file defines, by name
    """

    def __init__(self, path: str):
        file = Path(path).resolve()
        if file.is_dir():
            raise UserError(f"--file {path}: this is a folder, not a Python file")
        if not file.is_file():
            raise UserError(f"--file {path}: there is no such file")
        spec = spec_of(module_name(file), file)
        if spec is None or spec.loader is None:
            raise UserError(f"--file {path}: this is not a Python file (its name must end in .py)")
        with reading(file), as_user_error(f"--file {path}: "):
            check_source(file.read_bytes())
        module = new_module(spec)
        self.path, self.name, self.module_name, self.values = str(file), file.name, spec.name, vars(module)
        with self.faults_named(end_of_loading), importable(file.parent):
            spec.loader.exec_module(module)

    @contextmanager
    def faults_named(self, in_words: Callable[[BaseException], str]) -> Iterator[None]:
        """Inside runs the file's code, which may raise anything, and may end the program (SystemExit): a UserError with
        the line, the innermost one of the file, and what `in_words` says.
        """
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == self.path]
            if isinstance(error, SyntaxError) and error.filename == self.path:
                lines.append(error.lineno)
            raise UserError(f"{self.name}:{(lines or [None])[-1] or 1}: {in_words(error)}") from error

    def functions(self) -> dict[str, Callable]:
        """The public functions by name, in the file's order; imported ones count too."""
        return {name: value for name, value in self.values.items() if callable(value) and not name.startswith("_")}

    def pair_names(self) -> list[str]:
        """The names X of the file's pairs, in the order of their forwards."""
        functions = self.functions()
        pairs = [name.removesuffix("_forward") for name in functions if name.endswith("_forward")]
        return [name for name in pairs if f"{name}_backward" in functions]

    def lone_functions(self) -> dict[str, str]:
        """The names X of the file's own functions that have no partner, each with a sentence about it."""
        functions, found = self.functions(), dict[str, str]()
        for ending, other in (("_forward", "_backward"), ("_backward", "_forward")):
            for name, function in functions.items():
                partner, own = name.removesuffix(ending) + other, function.__module__ == self.module_name
                meant = any(fault.endswith(f"did you mean {name}?") for fault in found.values())
                if name.endswith(ending) and own and partner not in functions and not meant:
                    free = [
                        known for known in functions if known.endswith(other) and self.is_alone(known, other, ending)
                    ]
                    hint = did_you_mean(partner, free)
                    found[name.removesuffix(ending)] = f"{self.name}: there is {name}, but no {partner}{hint}"
        return found

    def is_alone(self, name: str, ending: str, other: str) -> bool:
        """Whether a function has no partner; one that has is not meant by the name of another."""
        return name.removesuffix(ending) + other not in self.functions()

    def settings(self, name: str) -> dict[str, Any]:
        """`X_settings` of the file: keyword arguments of `check_gradients`."""
        settings = self.values.get(f"{name}_settings", {})
        if not isinstance(settings, dict):
            raise UserError(f"{self.name}: {name}_settings must be a dict, not {type(settings).__name__}")
        for key in settings:
            if key not in SETTINGS:
                hint = did_you_mean(str(key), SETTINGS)
                raise UserError(f"{self.name}: {name}_settings has {key!r}{hint}; known: {', '.join(SETTINGS)}")
        return settings

    def trials(self, name: str, seed: int) -> tuple[Trial, ...]:
        """The trials of one pair: on our cases, or on what its `X_inputs` draws."""
        functions, settings = self.functions(), self.settings(name)
        pair = functions[f"{name}_forward"], functions[f"{name}_backward"]
        if f"{name}_inputs" in functions:
            return tuple(self.drawn_trial(name, pair, settings, seed, number) for number in range(DRAWS))
        if name not in OPERATIONS:
            hint = did_you_mean(f"{name}_inputs", [known for known in functions if known.endswith("_inputs")])
            raise UserError(
                f"{self.name}: {name}_forward needs a function {name}_inputs(rng) that returns a tuple or dict of "
                f"inputs{hint or ' (only the names of our own operations do without it)'}"
            )
        if settings:
            raise UserError(f"{self.name}: {name}_settings needs a {name}_inputs: without it our own cases are used")
        return operation_trials(name, seed, pair)

    def drawn_trial(self, name: str, pair: Pair, settings: Mapping[str, Any], seed: int, number: int) -> Trial:
        """One trial on inputs that the user's function draws."""
        with self.faults_named(lambda error: f"{name}_inputs {end_of_drawing(error)}"):
            inputs = self.values[f"{name}_inputs"](np.random.default_rng([seed, number]))
        if not isinstance(inputs, (tuple, dict, np.ndarray)):
            kind = type(inputs).__name__
            raise UserError(f"{self.name}: {name}_inputs must return a tuple or a dict of inputs, not {kind}")
        try:
            arguments = bind_arguments(pair[0], inputs, settings.get("options"), settings.get("names"))
            compared = chosen_positions(arguments, settings.get("wrt"))
        except ValueError as error:
            raise UserError(f"{self.name}: {name}_settings: {error}") from error
        names = [arguments.names[position] for position in arguments.differentiable]
        unseen = [arguments.names[position] for position in arguments.differentiable if position not in compared]
        without = [*unseen, *names_in(settings, "zero"), *names_in(settings, "undecided")]
        wrong, reference = common_mutants(names, without), None
        if name in OPERATIONS and same_parameters(pair[0], OPERATIONS[name].forward):
            wrong, reference = mutants(name), (OPERATIONS[name].forward, OPERATIONS[name].backward)
        trial, written = f"draw {number + 1} of {name}_inputs", f"{name}_settings"
        return Trial(trial, pair, inputs, settings, wrong, reference, written=written, file=self.path)


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


def end_of_loading(error: BaseException) -> str:
    """Why a file could not be run."""
    aside = 'put this line under if __name__ == "__main__":'
    if isinstance(error, UserError):
        return f"the file reads the arguments of a command line here, and has none while it is checked; {aside}"
    if isinstance(error, SystemExit):
        return f"the file ends the program here, before its pairs are checked; {aside}"
    return in_a_line(error)


def end_of_drawing(error: BaseException) -> str:
    """Why an `X_inputs` returned nothing."""
    if isinstance(error, SystemExit):
        return "ends the program instead of returning inputs"
    return f"raised {in_a_line(error)}"


def in_a_line(error: BaseException) -> str:
    """The kind of an error and what it says."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(text.split())}".removesuffix(": ")


def names_in(settings: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The names of inputs in a setting, which may be one alone."""
    value = settings.get(key, ())
    return (value,) if isinstance(value, str) else tuple(value)


def same_parameters(mine: Callable, ours: Callable) -> bool:
    """Whether two functions are called alike."""
    return list(inspect.signature(mine).parameters) == list(inspect.signature(ours).parameters)
