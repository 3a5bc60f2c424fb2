"""`result.json`: how the model of a finished run did on the test split."""

from pathlib import Path
from typing import Any

from ..files.reading import are_numbers, is_number, is_step, is_whole, read_json, shown
from ..options.errors import UserError
from ..tasks.metrics import Goal, goal_of

KNOWN_RESULTS = ("step", "seconds", "test_count")
OF_A_SHARE = ("test_correct", "interval_95")  # known beside them where the goal is a share


def known_results(goal: Goal) -> tuple[str, ...]:
    """What every `result.json` of such a goal holds."""
    return (*KNOWN_RESULTS, f"test_{goal.name}", *(OF_A_SHARE if goal.share else ()))


def read_result_file(path: Path) -> dict[str, Any]:
    """What a `result.json` holds, checked; raises UserError if it is none."""
    result = read_json(path, "a run's result")
    if not isinstance(result, dict):
        raise UserError(f"{path}: not a run's result: it lacks {KNOWN_RESULTS[0]}")
    try:
        goal = goal_of(result)
        for name in known_results(goal):
            check_known(name, result)
    except ValueError as error:
        raise UserError(f"{path}: not a run's result: {error}") from error
    return result


def check_known(name: str, result: dict[str, Any]) -> None:
    """Raise ValueError unless a result holds what every result holds under this name."""
    if name not in result:
        raise ValueError(f"it lacks {name}")
    value = result[name]
    if name == "interval_95":
        if not are_numbers(value) or len(value) != 2:
            raise ValueError(f"{name} is {shown(value)}, not two numbers")
        return
    if not is_number(value):
        raise ValueError(f"{name} is {shown(value)}, not a number")
    if name == "test_count" and not is_whole(value, low=1):
        raise ValueError(f"test_count is {value}, not at least 1 and whole")
    if name == "test_correct" and not is_whole(value, below=result["test_count"] + 1):
        raise ValueError(f"test_correct is {value}, not a whole number from 0 to test_count ({result['test_count']})")
    if name == "step" and not is_step(value):
        raise ValueError(f"step is {value}, not a number of steps")
    if name == "seconds" and value < 0:
        raise ValueError(f"seconds is {value}, not at least 0")
