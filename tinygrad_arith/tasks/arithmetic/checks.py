"""What a task computes, which may be a user's own code, held against what `NumberTask` promises."""

import re
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from ...backend import RandomKey
from .digits import random_digits

TAKEN = ("answer position", "operand lengths", "count", "right", "share")  # titles that evaluations use themselves


def ask(task: Any, method: str, *operands: Any) -> Any:
    """What a method of a task, which may be a user's, gives for arrays (n, D) that it must not write to, or problems.

    Raises ValueError if it fails, with the line where it did.
    """
    for operand in operands:
        if isinstance(operand, np.ndarray):
            operand.setflags(write=False)
    try:
        return getattr(task, method)(*operands)
    except Exception as error:  # whatever a user's method may raise
        line = traceback.extract_tb(error.__traceback__)[:2][-1]  # the method's own, whatever it called
        where = f"{Path(line.filename).name}, line {line.lineno}"
        raise ValueError(f"{type(task).__name__}.{method}: {type(error).__name__}: {error} ({where})") from error


def check_arithmetic(task: Any) -> None:
    """Raise ValueError if what a task computes, for a few random operands, is not what `NumberTask` promises."""
    name, count, shorter = type(task).__name__, 32, (task.width + 1) // 2
    pairs = random_digits(RandomKey(0, "task.check"), 2 * count, shorter, task.base).reshape(2, count, shorter)
    above = np.pad(pairs, ((0, 0), (0, 0), (0, task.width - shorter)))  # the same with zeros above
    narrow, wide = ask(task, "result", *pairs), ask(task, "result", *above)
    for result in (narrow, wide):
        if not is_array(result, "iu", 2, count):
            raise ValueError(
                f"{name}.result: must return an array of whole numbers, one row of digits for each problem"
            )
        if not are_digits(result, task.base):
            raise ValueError(f"{name}.result: must return digits from 0 to {task.base - 1}")
    shared = narrow.shape[1]
    if shared > wide.shape[1] or wide[:, shared:].any() or (wide[:, :shared] != narrow).any():
        raise ValueError(f"{name}.result: must not depend on zeros above the operands' digits")
    if task.signed and not is_array(ask(task, "negative", *pairs), "b", 1, count):
        raise ValueError(f"{name}.negative: must return an array of bool, one for each problem")
    ask(task, "result", *np.zeros((2, 1, task.config.longest), np.uint8))
    if task.config.carry_mix:
        found = ask(task, "chain_digits", pairs[0])
        if not is_array(found, "iu", 2, count) or found.shape != pairs[0].shape or not are_digits(found, task.base):
            kind = f"a digit from 0 to {task.base - 1} for each digit of the first operands"
            raise ValueError(f"{name}.chain_digits: must return {kind}")


def check_groups(task: Any) -> None:
    """Raise ValueError if the groups of a few training problems are not what `Task` promises."""
    problems = task.train_problems(0, 7, 0)  # an odd number, for those who count on another
    found, where = ask(task, "groups", problems), f"{type(task).__name__}.groups"
    if not isinstance(found, dict) or not all(isinstance(title, str) for title in found):
        raise ValueError(f"{where}: must return a dictionary from titles to arrays, not {type(found).__name__}")
    for title, groups in found.items():
        if not re.fullmatch(r"\w[\w -]*", title) or title in TAKEN:
            raise ValueError(
                f"{where}: {title!r} must be a title of letters, digits, spaces and hyphens, for it is part of files' "
                f"names, and none of {', '.join(map(repr, TAKEN))}"
            )
        if not is_array(groups, "iu", 1, len(problems)):
            raise ValueError(f"{where}: {title!r} must be an array of whole numbers, one for each problem")


def is_array(value: Any, kinds: str, axes: int, count: int) -> bool:
    """Whether a value is an array of one of these kinds of dtype, with so many axes and `count` rows."""
    return isinstance(value, np.ndarray) and value.dtype.kind in kinds and value.ndim == axes and len(value) == count


def are_digits(array: np.ndarray, base: int) -> bool:
    """Whether an array of whole numbers holds digits alone."""
    return not array.size or 0 <= array.min() <= array.max() < base
