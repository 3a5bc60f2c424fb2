"""`result.json`: how the model of a finished run did on the test split."""

from pathlib import Path
from typing import Any

from ..files.reading import are_numbers, expect, is_number, is_step, is_whole, read_json
from ..options.errors import as_user_error
from ..tasks.metrics import Goal, goal_of

KNOWN_RESULTS = ("step", "seconds", "test_count")
OF_A_SHARE = ("test_correct", "interval_95")  # known beside them where the goal is a share


def known_results(goal: Goal) -> tuple[str, ...]:
    """What every `result.json` of such a goal holds."""
    return (*KNOWN_RESULTS, f"test_{goal.name}", *(OF_A_SHARE if goal.share else ()))


def read_result_file(path: Path) -> dict[str, Any]:
    """What a `result.json` holds, checked; raises UserError if it is none."""
    result = read_json(path, "a run's result")
    with as_user_error(f"{path}: not a run's result: "):
        check_result(result if isinstance(result, dict) else {})
    return result


def check_result(result: dict[str, Any]) -> None:
    """Raise ValueError unless a result holds what every result holds."""
    goal = goal_of(result)
    for name in known_results(goal):
        if name not in result:
            raise ValueError(f"it lacks {name}")
        if name != "interval_95":
            expect(name, result[name], is_number(result[name]), "a number")
    step, seconds, count = (result[name] for name in KNOWN_RESULTS)
    expect("step", step, is_step(step), "a number of steps")
    expect("seconds", seconds, seconds >= 0, "at least 0")
    expect("test_count", count, is_whole(count, low=1), "at least 1 and whole")
    if goal.share:
        correct, interval = (result[name] for name in OF_A_SHARE)
        at_most = f"a whole number from 0 to test_count ({count})"
        expect("test_correct", correct, is_whole(correct, below=count + 1), at_most)
        expect("interval_95", interval, are_numbers(interval) and len(interval) == 2, "two numbers")
