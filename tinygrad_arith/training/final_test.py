"""The test at the end of a training: exact match on problems never seen, and some of the model's answers to look at."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..run_files.files import write_json
from ..tasks.answers import Answer, sample_answer
from .evaluation import evaluate_exact_match, in_fives
from .runs import RESULT_FILE

SHOWN = 5  # problems, and mistakes, that are shown


@dataclass(frozen=True)
class FinalTest:
    """Exact match on the whole test split, with its 95 % interval (Wilson), and answers to look at.

    in_fives: where a row is a prefix, the Julia article's measure, see `tasks/scoring.py`; else None
    """

    correct: int
    count: int
    interval: tuple[float, float]
    examples: list[Answer]
    mistakes: list[Answer]
    in_fives: float | None = None

    @property
    def exact_match(self) -> float:
        """The share of problems answered right in full."""
        return self.correct / self.count


def final_test(model: Any, task: Any, test_size: int) -> FinalTest:
    """Test a model on the first `test_size` problems of the test split."""
    problems = task.problems("test", test_size)
    result = evaluate_exact_match(model, task, problems)
    wrong = np.flatnonzero(~result.right)[:SHOWN]
    return FinalTest(
        correct=result.correct,
        count=result.count,
        interval=result.interval,
        examples=[sample_answer(model, task, problems[i : i + 1]) for i in range(min(SHOWN, test_size))],
        mistakes=[sample_answer(model, task, problems[i : i + 1]) for i in wrong],
        in_fives=in_fives(result, task),
    )


def write_result(directory: Path, step: int, seconds: float, test: FinalTest) -> None:
    """Write the test's result as `result.json` into the run's directory."""
    low, high = test.interval
    result = {
        "step": step,
        "seconds": round(seconds, 3),
        "test_exact_match": test.exact_match,
        "test_correct": test.correct,
        "test_count": test.count,
        "interval_95": [low, high],
    }
    if test.in_fives is not None:
        result["in_fives"] = test.in_fives
    write_json(directory / RESULT_FILE, result)
