"""What `load` and `save` are called with, looked at before anything is read or written: one sentence each."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ..backend import DtypePolicy, obstacle_to_cuda
from ..nn import Module
from ..options.arguments import plain, require
from ..options.errors import MachineError, UserError


def check_model(model: Any) -> None:
    """Raise UserError for what is no model: a path, when the arguments are in another order; a class."""
    what = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
    if not isinstance(model, Module):
        raise UserError(f"the first argument must be a model, and not {what}")


def check_names(names: Any) -> None:
    """Raise UserError for what is no table from names to names."""
    fits = names is None or callable(names) or isinstance(names, Mapping)
    require("names", names, fits, "a mapping or a function (of a NameTable its `ours` for load, its `theirs` for save)")


def check_table(name: str, given: Any) -> None:
    """Raise UserError for what is no mapping from texts to texts, and not None."""
    fits = given is None or (isinstance(given, Mapping) and are_texts([*given, *given.values()]))
    require(name, given, fits, "a mapping from texts to texts")


def check_device(device: Any) -> None:
    """Raise UserError for what is no device, MachineError for one that is not there."""
    require("device", device, isinstance(device, str) and device in ("cpu", "cuda"), "one of cpu, cuda")
    obstacle = obstacle_to_cuda() if device == "cuda" else None
    if obstacle:
        raise MachineError(f'device="cuda": {obstacle}')


def check_seed_and_policy(seed: Any, policy: Any) -> None:
    """Raise UserError for what is no seed, or no policy."""
    require("seed", seed, seed is None or isinstance(plain(seed), int), "a whole number, or None")
    require("policy", policy, policy is None or isinstance(policy, DtypePolicy), "a DtypePolicy")


def some_names(name: str, given: Any, or_function: bool = False) -> Any:
    """Names that were given, as a collection: a text is one name. A function, where it may be one, stays.

    Raises UserError for anything else.
    """
    if isinstance(given, str):
        return (given,)
    fits = isinstance(given, Collection) and are_texts(given)
    wanted = "names, or a function that tells them" if or_function else "names"
    require(name, given, fits or (or_function and callable(given)), wanted)
    return given


def are_texts(values: Iterable[Any]) -> bool:
    """Whether all are texts."""
    return all(isinstance(value, str) for value in values)
