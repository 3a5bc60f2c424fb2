"""A user's own task, from `FILE.py:Class`."""

import importlib.util
import sys
import traceback
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from .checks import check_groups

RESERVED = "_=. ()0123456789"  # characters that mean something else in every vocabulary
MODULE_NAME = "user_task_"  # how the modules of users' files begin


def build_user_task(config: Any) -> Any:
    """The task of a valid and resolved configuration whose `task` is `FILE.py:Class`.

    Raises ValueError with one sentence if there is no such class, or none of which a task can be made.
    """
    task_class = load_task_class(config.task)
    try:
        task = task_class(config)
        check_groups(task)
    except ValueError:  # says what is wrong
        raise
    except Exception as error:  # whatever a user's class may raise
        what = fault_of_user_task(error) or f"{type(error).__name__}: {error}"
        raise ValueError(f"--task {config.task}: cannot be made from the options of a task: {what}") from error
    return task


def fault_of_user_task(error: BaseException) -> str | None:
    """Where in a user's file an error arose, and what it says; None if it has nothing to do with one."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if str(frame.f_globals.get("__name__")).startswith(MODULE_NAME):
            where = f"{Path(frame.f_code.co_filename).name}, line {line}, in {frame.f_code.co_qualname}"
            return f"{where}: {type(error).__name__}: {error}"
    return None


def load_task_class(name: str) -> Any:
    """The class that `FILE.py:Class` names; the file is run once, and again after it was changed.

    Raises ValueError with one sentence if there is no such file or class, if the file cannot be run, or the class is
    neither a `NumberTask` nor a `PairTask`.
    """
    file, _, class_name = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise ValueError(f"--task {name}: there is no file {file}")
    try:
        module = load_module(path.resolve(), path.stat().st_mtime_ns)
    except (Exception, SystemExit) as error:  # whatever a user's file may raise
        raise ValueError(f"--task {name}: {file} cannot be run: {type(error).__name__}: {error}") from error
    found = getattr(module, class_name, None)
    if found is None:
        raise ValueError(f"--task {name}: {file} has no class {class_name}")
    check_class(found, name)
    return found


def kind_of_user_task(name: str) -> str:
    """ "numbers" or "pairs"; raises as `load_task_class`."""
    from .numbers import NumberTask

    return "numbers" if issubclass(load_task_class(name), NumberTask) else "pairs"


def count_pairs(name: str) -> int:
    """How many problems a task of listed pairs has. Raises ValueError, one sentence, if they cannot be listed."""
    from .pairs import table_of

    try:
        return len(table_of(load_task_class(name)).prompts)
    except ValueError as error:
        if fault_of_user_task(error) is None:  # of ours, which says what is wrong
            raise ValueError(f"--task {name}: {error}") from error
        raise ValueError(f"--task {name}: {fault_of_user_task(error)}") from error
    except Exception as error:  # whatever a user's class may raise
        raise ValueError(f"--task {name}: {fault_of_user_task(error) or error}") from error


@lru_cache(maxsize=32)
def load_module(path: Path, changed: int) -> Any:
    """Run a Python file as a module; `changed` is when it was last written.

    Its name tells its place, so that two files of one name do not take each other's. While it is run, its folder can be
    imported from, as with `python FILE.py`.
    """
    spec = importlib.util.spec_from_file_location(f"{MODULE_NAME}{zlib.crc32(bytes(path)):08x}_{path.stem}", path)
    assert spec is not None  # as for every name that ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    finally:
        sys.path.remove(str(path.parent))
    return module


def check_class(found: Any, name: str) -> None:
    """Raise ValueError, one sentence, unless a user's class is one of which a task can be made."""
    from .numbers import NumberTask  # which imports the configuration, which imports this file
    from .pairs import PairTask

    if not (isinstance(found, type) and issubclass(found, NumberTask | PairTask)):
        raise ValueError(
            f"--task {name}: must be a class made from tinygrad_arith.tasks.NumberTask or PairTask (see docs/tasks.md)"
        )
    if issubclass(found, NumberTask):
        check_number_task(found, name)
    elif found.pairs is PairTask.pairs:
        raise ValueError(f"--task {name}: it has no method `pairs`")


def check_number_task(found: Any, name: str) -> None:
    """Raise ValueError, one sentence, unless a `NumberTask` has a usable symbol and base, and says its results."""
    from .numbers import NumberTask

    symbol, base = getattr(found, "symbol", None), getattr(found, "base", None)
    if not isinstance(symbol, str) or len(symbol) != 1 or symbol in RESERVED or symbol.isspace():
        raise ValueError(f"--task {name}: its symbol is {symbol!r}, but must be one character, none of {RESERVED!r}")
    if type(base) is not int or not 2 <= base <= 10:
        raise ValueError(f"--task {name}: its base is {base!r}, but must be a whole number from 2 to 10")
    if found.result is NumberTask.result:
        raise ValueError(f"--task {name}: it has no method `result`")
    if found.signed and found.negative is NumberTask.negative:
        raise ValueError(f"--task {name}: it is signed, but has no method `negative`")
