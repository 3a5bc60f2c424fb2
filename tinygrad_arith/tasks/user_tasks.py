"""A user's own task, from `FILE.py:Class`."""

import ast
import sys
import traceback
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..files.source import new_module, spec_of
from ..files.text import InUtf16, check_source
from ..options.option import did_you_mean
from .arithmetic.checks import check_groups
from .arithmetic.numbers import NumberTask
from .options import TaskOptions
from .pairs import PairTask, table_of

MODULE_NAME = "user_task_"  # how the modules of users' files begin


def build_user_task(config: Any) -> Any:
    """The task of a valid and resolved configuration whose `task` is `FILE.py:Class`.

    Raises ValueError with one sentence if there is no such class, or none of which a task can be made.
    """
    task_class = load_task_class(config.kind)
    try:
        task = task_class(config)
        check_groups(task)
    except ValueError:  # says what is wrong
        raise
    except Exception as error:  # whatever a user's class may raise
        what = fault_of_user_task(error) or in_words(error)
        raise ValueError(f"--task {config.kind}: cannot be made from the options of a task: {what}") from error
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
        check_source(path.read_bytes())
        module = load_module(path.resolve(), path.stat().st_mtime_ns)
    except InUtf16 as error:
        raise ValueError(f"--task {name}: {file}: {error}") from None
    except (Exception, SystemExit) as error:  # whatever a user's file may raise
        raise ValueError(f"--task {name}: {file} cannot be run: {type(error).__name__}: {error}") from error
    found = getattr(module, class_name, None)
    if found is None:
        meant = did_you_mean(class_name, classes_in(path))
        raise ValueError(f"--task {name}: {file} has no class {class_name}{meant}")
    check_class(found, name)
    return found


def class_to_add(file: str) -> str:
    """A sentence about a file that was named without a class: what is to be added. The file is read, but not run."""
    path = Path(file)
    if not path.is_file():
        return f"there is no file {file} (and the name of a class is missing: FILE.py:Class)"
    names = classes_in(path)
    if not names:
        return f"add the name of a class, {file}:Class; there is none in {file} yet"
    *others, last = (f"{file}:{name}" for name in names)
    return f"add the name of the class: {', '.join(others)}{' or ' * bool(others)}{last}"


def classes_in(path: Path) -> list[str]:
    """The names of the classes that a file's text defines; none if it is no Python."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return []
    return [line.name for line in body if isinstance(line, ast.ClassDef)]


def count_problems(options: Any) -> int:
    """How many problems a user's task has; raises ValueError, one sentence, if its pairs cannot be listed."""
    task_class = load_task_class(options.kind)
    if not issubclass(task_class, PairTask):
        return task_class.problem_count(options)
    return len(table_of_user_task(options.kind).prompts)


def digest_of_user_task(name: str) -> str | None:
    """What tells whether the pairs that a user's task lists are still the same; None for all others."""
    listed = name.endswith(".py", 0, name.rfind(":")) and issubclass(load_task_class(name), PairTask)
    return table_of_user_task(name).digest if listed else None


def table_of_user_task(name: str) -> Any:
    """The pairs of a user's task. Raises ValueError, one sentence, if none can be listed."""
    task_class = load_task_class(name)
    try:
        with importable(Path(name.rpartition(":")[0]).resolve().parent):
            return table_of(task_class)
    except (Exception, SystemExit) as error:  # whatever a user's class may raise
        raise ValueError(f"--task {name}: {fault_of_user_task(error) or in_words(error)}") from error


def in_words(error: BaseException) -> str:
    """What an error says; of one that is not ours, its type too."""
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Inside, what lies in a folder can be imported, as with `python FILE.py`."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:  # the file may have changed the list
            sys.path.remove(str(folder))


@lru_cache(maxsize=32)
def load_module(path: Path, changed: int) -> Any:
    """Run a Python file as a module; `changed` is when it was last written.

    Its name tells its place, so that two files of one name do not take each other's. While it is run, its folder can be
    imported from, as with `python FILE.py`.
    """
    spec = spec_of(f"{MODULE_NAME}{zlib.crc32(bytes(path)):08x}_{path.stem}", path)
    assert spec is not None  # as for every name that ends in .py
    assert spec.loader is not None
    module = new_module(spec)
    try:
        with importable(path.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module


def check_class(found: Any, name: str) -> None:
    """Raise ValueError, one sentence, unless a user's class is one of which a task can be made."""
    if not (isinstance(found, type) and issubclass(found, NumberTask | PairTask)):
        raise ValueError(
            f"--task {name}: must be a class made from tinygrad_arith.tasks.NumberTask or PairTask "
            "(python -m pydoc tinygrad_arith.tasks.pairs shows one)"
        )
    if not (isinstance(found.options, type) and issubclass(found.options, TaskOptions)):
        raise ValueError(f"--task {name}: its `options` must be a class made from TaskOptions, not {found.options!r}")
    try:
        found.check_class()
    except ValueError as error:
        raise ValueError(f"--task {name}: {error}") from error
